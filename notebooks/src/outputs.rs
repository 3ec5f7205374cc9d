//! What a cell put out, and whether another run puts out the same.

use serde_json::{Value, json};

use crate::cells::text;

/// What a program prints before the number of each cell that it begins.
pub const CELL_MARK: &str = "\u{1e}cell ";

/// How evcxr is told to show what follows as what it is.
const SHOWN_FROM: &str = "EVCXR_BEGIN_CONTENT ";
const SHOWN_TO: &str = "EVCXR_END_CONTENT";

/// What a cell put out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What it printed.
    pub text: String,
    /// What it showed: the MIME type, such as `image/svg+xml`, and the content.
    pub shown: Option<(String, String)>,
}

impl Output {
    pub(crate) fn of_cell(cell: &Value) -> Self {
        let mut output = Self::default();
        for part in cell["outputs"].as_array().into_iter().flatten() {
            if part["name"] == "stdout" {
                output.text.push_str(&text(&part["text"]));
            }
            if let Some(data) = part["data"].as_object() {
                let shown = data.iter().find(|(mime, _)| *mime != "text/plain");
                output.shown = shown.map(|(mime, content)| (mime.clone(), text(content))).or(output.shown);
            }
        }
        output
    }

    pub(crate) fn to_json(&self, execution_count: usize) -> Value {
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(json!({"name": "stdout", "output_type": "stream", "text": lines(&self.text)}));
        }
        if let Some((mime, content)) = &self.shown {
            parts.push(json!({
                "data": {mime.as_str(): lines(content)},
                "execution_count": execution_count,
                "metadata": {},
                "output_type": "execute_result",
            }));
        }
        parts.into()
    }
}

/// A text as Jupyter stores it, so that a change shows by the line.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The outputs of the cells of a program, from what it printed.
pub fn outputs_of(printed: &str) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    let mut lines = printed.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if line.starts_with(CELL_MARK) {
            outputs.push(Output::default());
            continue;
        }
        let Some(output) = outputs.last_mut() else { continue };
        if let Some(mime) = line.strip_prefix(SHOWN_FROM) {
            let content: String = lines.by_ref().take_while(|line| line.trim_end() != SHOWN_TO).collect();
            output.shown = Some((mime.trim().to_owned(), content.trim_end_matches('\n').to_owned()));
        } else {
            output.text.push_str(line);
        }
    }
    outputs
}

/// Where two runs of a notebook differ: the cell, from 1, and both texts there. Words have to be equal;
/// numbers may differ by 10⁻⁴ of their size and pixels by one, since machines have different sines.
pub fn difference(committed: &[Output], found: &[Output]) -> Option<String> {
    if committed.len() != found.len() {
        return Some(format!("{} cells were committed, {} were run", committed.len(), found.len()));
    }
    committed.iter().zip(found).enumerate().find_map(|(number, (committed, found))| {
        let cell = number + 1;
        if let Some((was, is)) = differing_line(&committed.text, &found.text, 1e-4, 1e-9) {
            return Some(format!("cell {cell} printed \"{is}\", committed is \"{was}\""));
        }
        let kind = |output: &Output| output.shown.as_ref().map(|(mime, _)| mime.clone());
        let content = |output: &Output| output.shown.as_ref().map_or(String::new(), |shown| shown.1.clone());
        if kind(committed) != kind(found) {
            return Some(format!("cell {cell} showed {:?}, committed is {:?}", kind(found), kind(committed)));
        }
        let (was, is) = differing_line(&content(committed), &content(found), 1e-4, 1.0)?;
        Some(format!("cell {cell} showed \"{is}\", committed is \"{was}\""))
    })
}

/// The first line in which two texts differ.
fn differing_line(left: &str, right: &str, relative: f64, absolute: f64) -> Option<(String, String)> {
    let (mut left, mut right) = (left.lines(), right.lines());
    loop {
        let (l, r) = (left.next(), right.next());
        if l.is_none() && r.is_none() {
            return None;
        }
        if !same(l.unwrap_or_default(), r.unwrap_or_default(), relative, absolute)
            || l.is_none() != r.is_none()
        {
            return Some((l.unwrap_or("nothing").to_owned(), r.unwrap_or("nothing").to_owned()));
        }
    }
}

fn same(left: &str, right: &str, relative: f64, absolute: f64) -> bool {
    let (left, right) = (pieces(left), pieces(right));
    left.len() == right.len()
        && left.iter().zip(&right).all(|(l, r)| match (l.parse::<f64>(), r.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= absolute + relative * a.abs().max(b.abs()),
            _ => l == r,
        })
}

/// A line cut into numbers and what is between them; spaces, which align numbers, are left out.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut in_number = false;
    for letter in line.chars() {
        if letter.is_whitespace() {
            in_number = false;
            pieces.push(String::new());
            continue;
        }
        let of_number = letter.is_ascii_digit() || (letter == '.' && in_number);
        if of_number != in_number || pieces.is_empty() {
            pieces.push(String::new());
            in_number = of_number;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Vec<Output> {
        vec![Output { text: text.to_owned(), shown: None }]
    }

    #[test]
    fn what_cells_print_and_show_is_told_apart() {
        let printed = format!(
            "before\n{CELL_MARK}0\n{CELL_MARK}1\na\nEVCXR_BEGIN_CONTENT image/svg+xml\n<svg>\n</svg>\n\
             EVCXR_END_CONTENT\nb\n"
        );
        let shown = Some(("image/svg+xml".to_owned(), "<svg>\n</svg>".to_owned()));
        assert_eq!(outputs_of(&printed), [Output::default(), Output { text: "a\nb\n".into(), shown }]);
    }

    #[test]
    fn other_figures_are_a_difference_and_the_last_digits_are_none() {
        let committed = printed("rank  1\nloss  2.34567 nats\n");
        assert_eq!(difference(&committed, &printed("rank  1\nloss  2.34566 nats\n")), None);
        assert_eq!(difference(&committed, &printed("rank 1\nloss 2.34567 nats\n")), None);
        for other in [
            "rank  2\nloss  2.34567 nats\n",
            "rank  1\nloss  2.35567 nats\n",
            "rank  1\n",
            "rank 1\nloss -2.34567 nats\n",
        ] {
            assert!(difference(&committed, &printed(other)).is_some(), "{other}");
        }
        let plot = |x: u32| {
            let svg = format!("<circle cx=\"{x}\"/>");
            vec![Output { text: String::new(), shown: Some(("image/svg+xml".into(), svg)) }]
        };
        assert_eq!(difference(&plot(100), &plot(101)), None);
        assert!(difference(&plot(100), &plot(103)).is_some());
        assert!(difference(&plot(100), &printed("")).is_some());
        assert!(difference(&plot(100), &[]).is_some());
    }
}
