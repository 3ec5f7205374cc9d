//! Tables for a terminal.

/// Aligned text: a header, a rule, and the rows; columns in `left` are flush left, the others right.
/// Cells that a row lacks are empty.
pub fn text_table(header: &[&str], rows: &[Vec<String>], left: &[usize]) -> String {
    let empty = String::new();
    let cell = |row: &'_ [String], column: usize| row.get(column).unwrap_or(&empty).clone();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| cell(row, column).chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &dyn Fn(usize) -> String| {
        let padded = widths.iter().enumerate().map(|(column, &width)| {
            let text = cells(column);
            if left.contains(&column) { format!("{text:<width$}") } else { format!("{text:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&|column| header[column].to_owned());
    text += &line(&|column| "─".repeat(widths[column]));
    for row in rows {
        text += &line(&|column| cell(row, column));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [
            vec!["é".to_owned(), "1.5".to_owned(), "x".to_owned()],
            vec!["longer".to_owned(), "10.25".to_owned()],
        ];
        let text = text_table(&["model", "rating", "note"], &rows, &[0, 2]);
        let expected = "model   rating  note\n──────  ──────  ────\né          1.5  x\nlonger   10.25\n";
        assert_eq!(text, expected);
    }
}
