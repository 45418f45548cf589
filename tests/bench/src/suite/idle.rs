//! Many open streams without traffic, on a proxy started for this alone: memory that an earlier load left behind would
//! hide what the streams take.

use std::time::{Duration, Instant};

use super::Suite;
use crate::load::idle;
use crate::load::request;
use crate::proxies::Target;
use crate::proxies::process::{Running, StartError};
use crate::samples::{IdleSample, Samples};
use crate::summary::as_f64;
use crate::wire::script::Script;

impl Suite {
    /// Opens the streams through a fresh `target` and looks at its process.
    pub(crate) async fn idle_sample(
        &self,
        rep: u32,
        target: Target,
        prompt_bytes: usize,
        samples: &mut Samples,
    ) -> Result<(), StartError> {
        let proxy = Running::start(target, &self.site, &[], target.patience()).await?;
        let Some(tree) = proxy.tree() else {
            samples.notes.push(format!("idle streams: {} ended by itself", target.label()));
            return Ok(());
        };
        let base_rss_kib = tree.rss_kib();
        let bytes = request::chat(self.api, Script::Idle, prompt_bytes);
        let streams = idle::open(proxy.addr(), &bytes, self.plan.idle_streams).await;
        tokio::time::sleep(Duration::from_millis(self.plan.idle_settle_ms)).await;

        let (start, cpu_before) = (Instant::now(), tree.cpu_time());
        tokio::time::sleep(Duration::from_millis(self.plan.idle_window_ms)).await;
        let cpu_ms = as_f64(tree.cpu_time().since(cpu_before).ran_ns) / 1e6;
        let cpu_ms_per_s = cpu_ms / start.elapsed().as_secs_f64();
        let growth_kib = tree.rss_kib().saturating_sub(base_rss_kib);

        if streams.len() < self.plan.idle_streams {
            let (open, wanted) = (streams.len(), self.plan.idle_streams);
            samples.notes.push(format!("idle streams: {} opened only {open} of {wanted}", target.label()));
        }
        samples.idle.push(IdleSample {
            rep,
            target,
            prompt_bytes,
            streams: streams.len(),
            base_rss_kib,
            rss_kib_per_stream: as_f64(growth_kib) / as_f64(streams.len().max(1) as u64),
            cpu_ms_per_s,
        });
        drop(streams);
        proxy.stop().await;
        Ok(())
    }
}
