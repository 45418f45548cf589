//! A reader of the text format of `OpenMetrics` 1.0 that takes nothing for granted, and what a node tells through it.

use std::collections::{BTreeMap, BTreeSet};

use ollamaflow_tests::node::{Metrics, Node};

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// A family of samples.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// All families by name. An error tells the line that breaks a rule.
pub fn read(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    let mut families = BTreeMap::<String, Family>::new();
    let mut present = String::new();
    for line in body.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').ok_or_else(|| wrong("no name"))?;
            let (name, said) = rest.split_once(' ').ok_or_else(|| wrong("nothing said"))?;
            if name != present {
                if families.contains_key(name) || !is_name(name) {
                    return Err(wrong("a family in two parts, or no name"));
                }
                name.clone_into(&mut present);
            }
            let family = families.entry(name.to_owned()).or_default();
            let field = match word {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                _ => return Err(wrong("an unknown comment")),
            };
            if !field.is_empty() || !family.samples.is_empty() {
                return Err(wrong("said twice, or behind samples"));
            }
            said.clone_into(field);
        } else {
            let sample = sample(line).ok_or_else(|| wrong("no sample"))?;
            let family = families.get_mut(&present).ok_or_else(|| wrong("before any family"))?;
            let suffix = sample.name.strip_prefix(&present).ok_or_else(|| wrong("of another family"))?;
            let suffixes: &[&str] = match family.kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => return Err(wrong("an unknown type")),
            };
            if !suffixes.contains(&suffix) {
                return Err(wrong("not a name for its type"));
            }
            let may_sink = family.kind == "gauge";
            if !sample.value.is_finite() || (!may_sink && sample.value < 0.0) {
                return Err(wrong("not a value for its type"));
            }
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        whole(name, family)?;
    }
    Ok(families)
}

fn whole(name: &str, family: &Family) -> Result<(), String> {
    if family.help.is_empty() || family.kind.is_empty() {
        return Err(format!("{name} has no help or no type"));
    }
    if !family.unit.is_empty() && !name.ends_with(&format!("_{}", family.unit)) {
        return Err(format!("{name} does not end with its unit"));
    }
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        if !seen.insert((&sample.name, &sample.labels)) {
            return Err(format!("twice: {sample:?}"));
        }
    }
    if family.kind == "histogram" { histograms(name, family) } else { Ok(()) }
}

/// Buckets ascend and cumulate, the last one is the count, and the sum can be that of what is in them.
fn histograms(name: &str, family: &Family) -> Result<(), String> {
    let mut of = BTreeMap::<Labels, (Vec<(f64, f64)>, Option<f64>, Option<f64>)>::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        let entry = of.entry(labels).or_default();
        match (&sample.name[name.len()..], bound) {
            ("_bucket", Some(bound)) => {
                let bound = bound.parse().map_err(|e| format!("{sample:?}: {e}"))?;
                entry.0.push((bound, sample.value));
            }
            ("_sum", None) => entry.1 = Some(sample.value),
            ("_count", None) => entry.2 = Some(sample.value),
            _ => return Err(format!("a bound where none belongs: {sample:?}")),
        }
    }
    for (labels, (buckets, sum, count)) in of {
        let wrong = |why: &str| Err(format!("{name} {labels:?}: {why}: {buckets:?} {sum:?} {count:?}"));
        let (Some(sum), Some(count)) = (sum, count) else { return wrong("no sum or no count") };
        if !buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1) {
            return wrong("buckets do not ascend");
        }
        if buckets.last().is_none_or(|(bound, all)| !bound.is_infinite() || (all - count).abs() > 0.0) {
            return wrong("the last bucket is not all");
        }
        let (mut below, mut least, mut most) = ((0.0, 0.0), 0.0, 0.0);
        for (bound, all) in &buckets {
            let here = all - below.1;
            least += here * below.0;
            if here > 0.0 {
                most += here * bound;
            }
            below = (*bound, *all);
        }
        // Microseconds are cut off.
        if sum + count * 1e-6 + 1e-9 < least || sum > most + 1e-9 {
            return wrong("the sum is not that of the buckets");
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(is_part) && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ')?;
    let is_number = !value.is_empty() && !value.contains(' ');
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok().filter(|_| is_number && is_name(name))?,
    })
}

/// A value up to its closing quote, without its escapes, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

/// What a node tells, read strictly.
pub async fn told(node: &Node) -> (Metrics, BTreeMap<String, Family>) {
    let metrics = node.metrics().await;
    let families = read(metrics.text()).unwrap_or_else(|e| panic!("{e}\n{}", metrics.text()));
    (metrics, families)
}

/// All samples of counters and histograms, which only grow.
pub fn growing(families: &BTreeMap<String, Family>) -> BTreeMap<(String, Labels), f64> {
    let grows = families.values().filter(|family| ["counter", "histogram"].contains(&family.kind.as_str()));
    grows
        .flat_map(|family| &family.samples)
        .map(|sample| ((sample.name.clone(), sample.labels.clone()), sample.value))
        .collect()
}

#[test]
fn the_reader_refuses_what_breaks_the_format() {
    let good = "# HELP a_seconds it\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                a_seconds_bucket{le=\"0.5\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\na_seconds_sum 3.2\n\
                a_seconds_count 2\n# HELP b it\n# TYPE b counter\nb_total{x=\"a\\\"\\n\"} 1\n# EOF\n";
    let families = read(good).unwrap();
    assert_eq!(families["b"].samples[0].labels["x"], "a\"\n");
    for (from, to) in [
        ("# EOF\n", ""),
        ("# HELP b it\n", ""),
        ("# TYPE b counter\n", ""),
        ("b_total{", "b{"),
        ("b_total{x=\"a", "b_total{x=\"a\"b"),
        ("\\n\"} 1", "\\n\"} -1"),
        ("\\n\"} 1", "\\t\"} 1"),
        ("a_seconds_count 2", "a_seconds_count 3"),
        ("a_seconds_sum 3.2", "a_seconds_sum 0.2"),
        ("le=\"0.5\"} 1", "le=\"0.5\"} 3"),
        ("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
        ("# HELP b it\n# TYPE b counter\n", "# HELP b it\n# TYPE b counter\nb_total 1\nb_total 1\n"),
        ("# HELP b it", "# HELP a_seconds it"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(read(&bad).is_err(), "{from} -> {to}");
    }
}
