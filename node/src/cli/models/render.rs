//! Models by backends in columns, for people.

use std::fmt::Write as _;

use crate::cli::remote::printable;
use crate::cli::screen::{Screen, Tone};
use crate::cli::table::{Cell, Table};
use crate::cli::wire::{Models, Place, Roll, RollStep};

/// Characters of a digest that are shown: what Ollama shows as an id.
const DIGEST: usize = 12;

/// A line for each model at each backend that has it or should not be without a word about it, and what is being rolled.
pub(super) fn models(models: &Models, screen: Screen) -> String {
    let mut table = Table::new(&["MODEL", "BACKEND", "WHERE", "SIZE", "ID", "WANTED", "WHY NOT AS WANTED"])
        .may_lack(&["ID", "SIZE", "WANTED"]);
    for model in &models.models {
        for place in model.backends.iter().filter(|place| is_worth_a_line(place)) {
            table.row(row(&model.model, place));
        }
    }
    let mut text = if table.is_empty() { "no backend has a model".to_owned() } else { table.draw(screen) };
    for roll in models.rolls.iter().filter(|roll| is_under_way(roll)) {
        let step = |step: &RollStep| {
            let detail = step.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
            printable(&format!("{} {}{detail}", step.backend, step.phase))
        };
        let steps: Vec<String> = roll.steps.iter().map(step).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n\nroll of {}: {}", printable(&roll.model), steps.join(", "));
    }
    text
}

fn is_worth_a_line(place: &Place) -> bool {
    place.present == Some(true)
        || place.pulling_percent.is_some()
        || place.required
        || place.preload
        || place.reason.is_some()
}

/// Whether a step is left. Phases that this program does not know count as left.
fn is_under_way(roll: &Roll) -> bool {
    roll.steps.iter().any(|step| !matches!(step.phase.as_str(), "Done" | "Failed" | "Skipped"))
}

fn row(model: &str, place: &Place) -> Vec<Cell> {
    let (whereabouts, tone) = match (place.pulling_percent, place.loaded, place.present) {
        (Some(percent), ..) => (format!("pulling {percent} %"), Tone::Doubtful),
        (_, Some(true), _) => ("in memory".to_owned(), Tone::Good),
        (_, _, Some(true)) => ("on disk".to_owned(), Tone::Plain),
        (_, _, Some(false)) => ("absent".to_owned(), Tone::Bad),
        (_, _, None) => ("unknown".to_owned(), Tone::Faint),
    };
    let digest: String = place.digest.as_deref().unwrap_or_default().chars().take(DIGEST).collect();
    let digest = if place.drifted { Cell::text(&digest).tone(Tone::Doubtful) } else { Cell::text(&digest) };
    let wishes = [(place.required, "required"), (place.preload, "preloaded"), (place.forbidden, "forbidden")];
    let wanted: Vec<&str> = wishes.iter().filter(|(is_so, _)| *is_so).map(|(_, name)| *name).collect();
    let drift = place.drifted.then(|| "another version than elsewhere".to_owned());
    let reason = place.reason.clone().or(drift).unwrap_or_default();
    vec![
        Cell::text(model),
        Cell::text(&place.backend),
        Cell::text(&whereabouts).tone(tone),
        Cell::number(&place.size.map(size).unwrap_or_default()),
        digest,
        Cell::text(&wanted.join(",")),
        Cell::text(&reason),
    ]
}

/// Bytes for people, by thousands as Ollama shows them.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, UNITS[0]);
    for larger in &UNITS[1..] {
        if tenths < 10_000 {
            break;
        }
        (tenths, unit) = (tenths / 1_000, larger);
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_told_as_ollama_does() {
        let told = [0, 999, 1_000, 1_234_567, 4_900_000_000, 70_000_000_000_000].map(size);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "1.2 MB", "4.9 GB", "70.0 TB"]);
    }

    #[test]
    fn each_place_says_where_the_model_is_and_what_is_wrong() {
        let read: Models = serde_json::from_value(json!({
            "Models": [{ "Model": "m:1", "Backends": [
                { "Backend": "b1", "Present": true, "Loaded": true, "Size": 5_000_000, "Required": true,
                  "Digest": "0123456789abcdef" },
                { "Backend": "b2", "Present": false },
                { "Backend": "b3", "Present": false, "Required": true, "Reason": "missing, cannot pull" },
                { "Backend": "b4", "Present": false, "PullingPercent": 40 },
            ] }],
            "Rolls": [
                { "Model": "m:1", "Steps": [{ "Backend": "b1", "Phase": "Draining" }] },
                { "Model": "old", "Steps": [{ "Backend": "b1", "Phase": "Done" }] },
            ]
        }))
        .unwrap();
        assert_eq!(
            models(&read, Screen::none()),
            "MODEL  BACKEND  WHERE           SIZE  ID            WANTED    WHY NOT AS WANTED\n\
             m:1    b1       in memory     5.0 MB  0123456789ab  required  -\n\
             m:1    b3       absent             -  -             required  missing, cannot pull\n\
             m:1    b4       pulling 40 %       -  -             -         -\n\nroll of m:1: b1 Draining"
        );
        assert_eq!(models(&Models::default(), Screen::none()), "no backend has a model");
    }
}
