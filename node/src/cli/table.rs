//! Tables for people: one line for each row, cut to the width of the terminal.

use comfy_table::ColumnConstraint::LowerBoundary;
use comfy_table::Width::Fixed;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell as Drawn, CellAlignment, ContentArrangement, Row};

use super::remote::printable;
use super::screen::{Screen, Tone};

/// What stands at the end of a text that was cut.
const CUT: &str = "…";

/// Where a text may be broken to be cut: anywhere, since nothing is broken at a control character, which no cell has.
const NO_BREAK: char = '\u{1}';

/// Spaces between two columns.
const GAP: u16 = 2;

/// No column is cut to less than that; rather another one is left out.
const LEAST: u16 = 16;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
    is_number: bool,
}

/// Rows under a head.
#[derive(Debug, Clone)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Columns that a narrow terminal does without, the first of these first.
    dispensable: Vec<&'static str>,
}

// === Cell ===

impl Cell {
    /// A text of a server may steer no terminal, and an empty one is seen.
    pub(super) fn text(text: &str) -> Self {
        let text = if text.is_empty() { "-".to_owned() } else { printable(text) };
        Self { text, tone: Tone::Plain, is_number: false }
    }

    /// Aligned to the right.
    pub(super) fn number(number: &impl ToString) -> Self {
        Self { is_number: true, ..Self::text(&number.to_string()) }
    }

    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

// === Table ===

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), dispensable: Vec::new() }
    }

    /// Columns that are left out where there is no room for them, the first of these first.
    pub(super) fn may_lack(self, columns: &[&'static str]) -> Self {
        Self { dispensable: columns.to_vec(), ..self }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, without a line break at the end.
    pub(super) fn draw(&self, screen: Screen) -> String {
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(NOTHING).set_truncation_indicator(CUT);
        if let Some(width) = screen.width {
            drawn.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if screen.has_colour {
            drawn.enforce_styling();
        } else {
            drawn.force_no_tty();
        }
        let (columns, fit) = self.columns(screen.width);
        let is_number = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).any(|cell| cell.is_number);
        let head = columns.iter().filter_map(|at| Some((self.head.get(*at)?, is_number(*at))));
        drawn.set_header(one_line(head.map(|(text, is_number)| {
            Drawn::new(text).add_attribute(Attribute::Bold).set_alignment(alignment(is_number))
        })));
        for row in &self.rows {
            drawn.add_row(one_line(columns.iter().filter_map(|at| row.get(*at)).map(Cell::drawn)));
        }
        for (column, at) in drawn.column_iter_mut().zip(&columns) {
            // Nothing stands behind the last one, where a gap would be too much for the line.
            let gap = if columns.last() == Some(at) { 0 } else { GAP };
            column.set_padding((0, gap)).set_delimiter(NO_BREAK);
            if fit {
                let least = self.natural(*at).min(LEAST);
                column.set_constraint(LowerBoundary(Fixed(least.saturating_add(gap))));
            }
        }
        let lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }

    /// The columns that are shown, and whether they fit.
    fn columns(&self, width: Option<u16>) -> (Vec<usize>, bool) {
        let mut columns: Vec<usize> = (0..self.head.len()).collect();
        let Some(width) = width else { return (columns, true) };
        let mut dispensable = self.dispensable.iter();
        let needed = |columns: &[usize]| -> u16 {
            columns.iter().map(|at| self.natural(*at).min(LEAST).saturating_add(GAP)).sum()
        };
        while needed(&columns) > width.saturating_add(GAP) {
            let Some(name) = dispensable.next() else { return (columns, false) };
            columns.retain(|at| self.head.get(*at) != Some(name));
        }
        (columns, true)
    }

    /// How wide a column is when nothing is cut.
    fn natural(&self, at: usize) -> u16 {
        let cells = self.rows.iter().filter_map(|row| Some(row.get(at)?.text.as_str()));
        let widest = cells.chain(self.head.get(at).copied()).map(|text| text.chars().count()).max();
        u16::try_from(widest.unwrap_or_default()).unwrap_or(u16::MAX)
    }
}

impl Cell {
    fn drawn(&self) -> Drawn {
        let cell = Drawn::new(&self.text).set_alignment(alignment(self.is_number));
        match self.tone.colour() {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    }
}

const fn alignment(is_number: bool) -> CellAlignment {
    if is_number { CellAlignment::Right } else { CellAlignment::Left }
}

fn one_line(cells: impl Iterator<Item = Drawn>) -> Row {
    let mut row = Row::from(cells.collect::<Vec<_>>());
    row.max_height(1);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "BUSY", "NOTE"]);
        table.row(vec![Cell::text("b1"), Cell::number(&3), Cell::text("a long sentence about it")]);
        table.row(vec![Cell::text("gpu-12"), Cell::number(&12), Cell::text("").tone(Tone::Bad)]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        assert_eq!(
            table().draw(Screen::none()),
            "ID      BUSY  NOTE\nb1         3  a long sentence about it\ngpu-12    12  -"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_is_broken() {
        for width in [20_u16, 24, 30, 80] {
            let drawn = table().draw(Screen { width: Some(width), ..Screen::none() });
            assert_eq!(drawn.lines().count(), 3, "{drawn}");
            // What steers colours has no width, and may stand behind what else would be trimmed away.
            let coloured = table().draw(Screen { width: Some(width), has_colour: true, ..Screen::none() });
            for line in coloured.lines() {
                let seen: usize = line
                    .split('\u{1b}')
                    .enumerate()
                    .map(|(at, part)| {
                        if at == 0 { part } else { part.split_once('m').unwrap().1 }.chars().count()
                    })
                    .sum();
                assert!(seen <= usize::from(width), "{width}: {seen} {line:?}");
            }
            let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{width}:\n{drawn}");
        }
        let narrow = table().draw(Screen { width: Some(24), ..Screen::none() });
        assert!(narrow.contains(CUT), "{narrow}");
    }

    #[test]
    fn a_narrow_terminal_does_without_what_matters_least() {
        let table = table().may_lack(&["BUSY", "ID"]);
        let drawn = |width| table.draw(Screen { width: Some(width), ..Screen::none() });
        assert_eq!(drawn(40).lines().next(), Some("ID      BUSY  NOTE"));
        assert_eq!(drawn(26).lines().nth(1), Some("b1      a long sentence a…"), "{}", drawn(26));
        assert!(drawn(12).starts_with("NOTE"), "{}", drawn(12));
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        assert!(!table().draw(Screen::none()).contains('\u{1b}'));
        assert!(table().draw(Screen { has_colour: true, ..Screen::none() }).contains("\u{1b}["));
    }

    #[test]
    fn a_server_cannot_steer_the_terminal() {
        assert_eq!(Cell::text("a\u{1b}[31mb").text, "a [31mb");
    }
}
