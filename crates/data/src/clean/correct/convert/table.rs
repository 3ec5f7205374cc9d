//! Tables as GitHub writes them.

use super::{Converter, paragraph};
use crate::clean::exact::tree::Id;

/// Appends a table, and before it what stands in it outside of cells. A table without a row of
/// headings gets an empty one, which Markdown needs.
pub(super) fn table(converter: &Converter, id: Id, depth: usize, blocks: &mut Vec<String>) {
    let mut rows: Vec<Row> = Vec::new();
    read(converter, id, depth, &mut rows, blocks);
    let width = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    if rows.iter().all(|row| row.cells.iter().all(String::is_empty)) {
        return;
    }
    if !rows[0].heads {
        rows.insert(0, Row { cells: Vec::new(), heads: true });
    }
    let line = |row: &Row| {
        let cells = (0..width).map(|at| row.cells.get(at).map_or("", String::as_str));
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("| {} |", vec!["---"; width].join(" | ")));
    blocks.push(lines.join("\n"));
}

struct Row {
    cells: Vec<String>,
    heads: bool,
}

fn read(converter: &Converter, id: Id, depth: usize, rows: &mut Vec<Row>, blocks: &mut Vec<String>) {
    let mut outside = String::new();
    for child in converter.tree.children(id) {
        match converter.tree.name(*child) {
            Some("thead" | "tbody" | "tfoot") if depth < super::DEEPEST => {
                read(converter, *child, depth + 1, rows, blocks);
            }
            Some("tr") => {
                let row = row(converter, *child, depth);
                rows.extend((!row.cells.is_empty()).then_some(row));
            }
            Some("colgroup" | "col") => {}
            _ => {
                converter.inline(*child, depth, &mut outside);
                paragraph(&mut outside, blocks);
            }
        }
    }
}

fn row(converter: &Converter, id: Id, depth: usize) -> Row {
    let mut cells = Vec::new();
    let mut heads = true;
    for child in converter.tree.children(id) {
        let name = converter.tree.name(*child);
        let mut text = String::new();
        if matches!(name, Some("td" | "th")) {
            converter.inline_children(*child, depth + 1, &mut text);
        } else {
            converter.inline(*child, depth + 1, &mut text);
            if text.trim().is_empty() {
                continue;
            }
        }
        heads &= name == Some("th");
        cells.push(text.trim().replace('|', "\\|").replace('\n', "<br>"));
        let span = converter.tree.attribute(*child, "colspan").and_then(|span| span.parse::<usize>().ok());
        // More columns than that are a mistake of the page.
        cells.extend(std::iter::repeat_n(String::new(), span.unwrap_or(1).clamp(1, 100) - 1));
    }
    Row { cells, heads }
}
