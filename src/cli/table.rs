//! Tables: rows of cells, for people and for pipes.
//!
//! A pipe gets every row on one line, in full and without a header, so that scripts can rely on it.
//! On a terminal the rows have a header, and the last column is cut to fit. If that is not enough,
//! each row is printed as a block, one cell a line: an id that is cut cannot be copied.

use serde::Serialize;
use textwrap::core::display_width;

use crate::cli::out::{self, note, say};
use crate::format::text::printable;

const GAP: &str = "  ";
/// Below this many columns the last cell says nothing any more.
const MIN_LAST: usize = 12;

/// Prints rows as a JSON array or as a table.
pub(super) fn print<T: Serialize, const N: usize>(
    as_json: bool,
    rows: &[T],
    titles: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> anyhow::Result<()> {
    if as_json {
        return out::json(&rows);
    }
    let width = out::terminal_width();
    if rows.is_empty() && width.is_some() {
        note!("nothing found");
    }
    // Escaped first: an escape takes more columns than its character.
    let cells: Vec<[String; N]> =
        rows.iter().map(|row| cells(row).map(|cell| printable(&cell).into_owned())).collect();
    lines(titles, &cells, width).iter().try_for_each(|line| say!("{line}"))?;
    Ok(())
}

/// Lays out rows for a terminal of this width, or for a pipe.
fn lines<const N: usize>(
    titles: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = display_width(cell).max(*widest);
        }
    }
    let Some(width) = width.filter(|_| !rows.is_empty()) else {
        return rows.iter().map(|row| line(row, &widths)).collect();
    };
    for (widest, title) in widths.iter_mut().zip(titles) {
        *widest = display_width(title).max(*widest);
    }
    let before_last: usize = widths.iter().rev().skip(1).map(|cell| cell + GAP.len()).sum();
    let last = width.saturating_sub(before_last);
    if last < widths.last().map_or(0, |needed| MIN_LAST.min(*needed)) {
        return rows.iter().flat_map(|row| block(titles, row)).collect();
    }
    let header = line(&titles.map(str::to_uppercase), &widths);
    let rows = rows.iter().map(|row| line(row, &widths));
    std::iter::once(header).chain(rows).map(|line| cut(line, width)).collect()
}

/// Without spaces at the end.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(display_width(cell))));
        line.push_str(GAP);
    }
    line.truncate(line.trim_end().len());
    line
}

fn block<const N: usize>(titles: [&str; N], row: &[String; N]) -> Vec<String> {
    let widest = titles.iter().map(|title| title.len()).max().unwrap_or_default();
    let cells = titles.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
    let lines = cells.map(|(title, cell)| format!("{title:<widest$}  {cell}"));
    lines.chain([String::new()]).collect()
}

/// Cuts a line to the width of the terminal.
fn cut(line: String, width: usize) -> String {
    if display_width(&line) <= width {
        return line;
    }
    let mut kept = String::new();
    let mut taken = 1;
    for c in line.chars() {
        taken += display_width(c.encode_utf8(&mut [0; 4]));
        if taken > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::lines;

    fn rows() -> [[String; 3]; 2] {
        [["id_1", "new", "a long remark about it"], ["id_200", "paid out", ""]]
            .map(|row| row.map(str::to_owned))
    }

    const TITLES: [&str; 3] = ["id", "status", "note"];

    #[test]
    fn a_pipe_gets_whole_rows_and_no_header() {
        let expected = ["id_1    new       a long remark about it", "id_200  paid out"];
        assert_eq!(lines(TITLES, &rows(), None), expected);
        assert_eq!(lines(TITLES, &[], None), Vec::<String>::new());
        assert_eq!(lines(TITLES, &[], Some(80)), Vec::<String>::new());
    }

    #[test]
    fn a_terminal_gets_a_header_and_a_shorter_last_column() {
        let expected =
            ["ID      STATUS    NOTE", "id_1    new       a long remark…", "id_200  paid out"];
        assert_eq!(lines(TITLES, &rows(), Some(32)), expected);
        assert_eq!(lines(TITLES, &rows(), Some(40))[1], "id_1    new       a long remark about it");
    }

    #[test]
    fn a_narrow_terminal_gets_a_block_for_each_row() {
        let expected = [
            "id      id_1",
            "status  new",
            "note    a long remark about it",
            "",
            "id      id_200",
            "status  paid out",
            "",
        ];
        assert_eq!(lines(TITLES, &rows(), Some(29)), expected);
    }

    #[test]
    fn wide_characters_count_twice() {
        let rows = [["日本".to_owned(), "x".to_owned()], ["abcd".to_owned(), "y".to_owned()]];
        assert_eq!(lines(["a", "b"], &rows, None), ["日本  x", "abcd  y"]);
    }
}
