//! The tasks in a reply, each with its three parts.

/// A task with what it works on and an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Task {
    pub instruction: String,
    pub input: String,
    pub output: String,
}

/// A piece of a reply: a task, or a text that is none.
pub(super) type Piece = Result<Task, String>;

/// The pieces of a reply to a prompt with so many demonstrations, which ends where the first new task
/// begins. Pieces are divided by `###`; each has a number, one up from piece to piece, before each of
/// `Instruction:`, `Input:` and `Output:`. A blank piece is an empty text.
pub(super) fn pieces(reply: &str, demonstrations: usize) -> Vec<Piece> {
    let heading = format!("{}. Instruction:", demonstrations + 1);
    // A model that talks repeats the heading that a model that goes on with a text does not.
    let reply = reply.trim_start().trim_start_matches("###").trim_start();
    let whole = if reply.starts_with(&heading) { reply.to_owned() } else { heading + reply };
    let pieces = whole.split("###").enumerate();
    pieces
        .map(|(at, piece)| task(piece, demonstrations + 1 + at).ok_or_else(|| piece.trim().to_owned()))
        .collect()
}

fn task(piece: &str, number: usize) -> Option<Task> {
    let headings = headings(piece, &format!("{number}."));
    let [(first, _), (second, _), (third, _)] = headings[..] else { return None };
    if (first, second, third) != ("Instruction", "Input", "Output") {
        return None;
    }
    let part = |at: usize| {
        let begin = headings[at].1.end;
        let end = headings.get(at + 1).map_or(piece.len(), |(_, next)| next.start);
        piece[begin..end].trim().to_owned()
    };
    let input = Some(part(1)).filter(|input| input.to_lowercase() != "<noinput>");
    Some(Task { instruction: part(0), input: input.unwrap_or_default(), output: part(2) })
}

/// The headings with this number, and where each stands.
fn headings<'a>(piece: &str, number: &str) -> Vec<(&'a str, std::ops::Range<usize>)> {
    let heading = |(start, _): (usize, &str)| {
        let behind = &piece[start + number.len()..];
        let label = behind.trim_start();
        let name = ["Instruction", "Input", "Output"]
            .into_iter()
            .find(|name| label.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
        let spaces = behind.len() - label.len();
        (spaces > 0).then(|| (name, start..start + number.len() + spaces + name.len() + 1))
    };
    piece.match_indices(number).filter_map(heading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_falls_into_tasks_and_what_is_none() {
        let reply = " Name a river.\n4. Input:\n<noinput>\n4. Output:\nThe Rhine, in 2020. A river.\n###\n\
                     5. Instruction: Sort these.\n5. Input:\n3, 1, 2\n5. Output:\n1, 2, 3\n###\n\
                     6. Instruction: No parts.\n###\n\n###\n8. Instruction: The number of";
        let task = |instruction: &str, input: &str, output: &str| Task {
            instruction: instruction.into(),
            input: input.into(),
            output: output.into(),
        };
        let wanted = [
            Ok(task("Name a river.", "", "The Rhine, in 2020. A river.")),
            Ok(task("Sort these.", "3, 1, 2", "1, 2, 3")),
            Err("6. Instruction: No parts.".to_owned()),
            Err(String::new()),
            Err("8. Instruction: The number of".to_owned()),
        ];
        assert_eq!(pieces(reply, 3), wanted);
        assert_eq!(pieces(&format!("###\n4. Instruction:{reply}"), 3), wanted);
        assert_eq!(pieces("", 3), [Err("4. Instruction:".to_owned())]);
    }
}
