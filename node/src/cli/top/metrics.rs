//! The few metrics of a node that are looked at, out of its text exposition.

/// Samples of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

// === Metrics ===

impl Metrics {
    /// Lines that cannot be read are passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }

    /// Sums by the value of a label, in the order in which they come.
    pub(super) fn by(&self, name: &str, label: &str) -> Vec<(&str, f64)> {
        let mut sums: Vec<(&str, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            let value = sample.labels.iter().find(|(known, _)| known == label);
            let Some((_, key)) = value else { continue };
            match sums.iter_mut().find(|(known, _)| known == key) {
                Some((_, sum)) => *sum += sample.value,
                None => sums.push((key, sample.value)),
            }
        }
        sums
    }
}

impl Sample {
    /// `name{label="value",...} number [time]`
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => labels(inside)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value })
    }
}

/// The labels, and what stands behind the brace.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (end, '"') => break end,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_by_label() {
        let metrics = Metrics::parse(
            "# HELP requests Client requests\nrequests_total{outcome=\"ok\",f=\"a\"} 3\n\
             requests_total{outcome=\"failed\"} 1\nrequests_total{outcome=\"ok\",f=\"b\"} 4.5 1700000000\n\
             queue_length{frontend=\"a \\\"b\\\\}\"} 2\nplain 7\nbroken{ 1\n# EOF\n",
        );
        assert_eq!(metrics.by("requests_total", "outcome"), [("ok", 7.5), ("failed", 1.0)]);
        assert_eq!(metrics.by("queue_length", "frontend"), [("a \"b\\}", 2.0)]);
        assert_eq!(metrics.by("plain", "outcome"), []);
    }
}
