//! Numbers and tables as text.

use std::fmt;

use crate::proxies::Target;
use crate::summary::Quartiles;

/// A Markdown table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// Three significant digits at least, thousands separated: `0.25`, `7.31`, `41.2`, `15,402`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        return thousands(value);
    }
    if size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

/// The median alone.
pub(crate) fn median(quartiles: Option<Quartiles>) -> String {
    quartiles.map_or_else(|| "–".to_owned(), |quartiles| number(quartiles.median))
}

/// Median and quartiles: `1.21 [1.10–1.36]`.
pub(crate) fn spread(quartiles: Option<Quartiles>) -> String {
    quartiles.map_or_else(
        || "–".to_owned(),
        |Quartiles { q1, median, q3, .. }| format!("{} [{}–{}]", number(median), number(q1), number(q3)),
    )
}

/// Rates by name: `writev 1.00, readv 0.98`.
pub(crate) fn rates(rates: &[(String, f64)]) -> String {
    rates.iter().map(|(name, rate)| format!("{name} {}", number(*rate))).collect::<Vec<_>>().join(", ")
}

/// Names of targets in one line.
pub(crate) fn labels(targets: &[Target]) -> String {
    targets.iter().map(|target| target.label()).collect::<Vec<_>>().join(", ")
}

// === impl Table ===

impl Table {
    /// With these column heads.
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    /// Adds a row of as many cells as there are heads.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.254, "0.25"),
            (9.999, "10.0"),
            (41.23, "41.2"),
            (212.4, "212"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(999.7), "1,000");
    }

    #[test]
    fn a_missing_figure_is_a_dash() {
        assert_eq!(median(None), "–");
        assert_eq!(spread(Some(Quartiles { q1: 1.0, median: 1.5, q3: 2.0, n: 3 })), "1.50 [1.00–2.00]");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["proxy", "µs"]);
        table.row(["nginx".to_owned(), "1,234".to_owned()]);
        assert_eq!(table.to_string(), "| proxy | µs    |\n|-------|-------|\n| nginx | 1,234 |\n");
    }
}
