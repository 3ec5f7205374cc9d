//! Conversations with their loss marked, as a page.

use camelid_chat::IGNORE_INDEX;
use camelid_report::{PAGE_STYLE, ReportError, environment};
use serde_json::{Value, json};

use super::{FastchatVerdict, InspectReport, Inspected, Proof, Run};

/// What a page says besides its report.
#[derive(Debug, Clone, Copy)]
pub struct PageSettings<'a> {
    /// Its heading: the name of the data.
    pub title: &'a str,
    /// The template's name.
    pub template: &'a str,
    /// The limit, in tokens.
    pub max_length: usize,
    /// The command that makes it again.
    pub command: &'a str,
}

/// A page in HTML that needs no other file: the report, and the conversations `shown`.
///
/// # Errors
/// When the template cannot be rendered.
pub fn page(
    report: &InspectReport,
    shown: &[Inspected],
    settings: PageSettings<'_>,
) -> Result<String, ReportError> {
    let page = environment().render_str(
        include_str!("page.html.j2"),
        minijinja::Value::from(minijinja::value::Serde(json!({
            "style": PAGE_STYLE,
            "title": settings.title,
            "template": settings.template,
            "max_length": settings.max_length,
            "report": report,
            "share": report.loss_tokens as f64 / report.tokens.max(1) as f64,
            "holds": report.holds(),
            "lines": report.lines(),
            "talks": shown.iter().map(talk).collect::<Vec<_>>(),
            "more": report.conversations - shown.len(),
            "command": settings.command,
            "camelid": env!("CARGO_PKG_VERSION"),
        }))),
    )?;
    Ok(page)
}

fn talk(inspected: &Inspected) -> Value {
    let Inspected { id, ids, labels, about } = inspected;
    let loss = labels.iter().filter(|label| **label != IGNORE_INDEX).count();
    let runs: Vec<Value> = about.runs.iter().map(run).collect();
    let mut notes = Vec::new();
    let mut note = |bad: bool, text: String| notes.push(json!({"bad": bad, "text": text}));
    if loss == 0 {
        note(true, "Nothing to learn: training drops it.".into());
    }
    match about.proof {
        Proof::Holds => {}
        Proof::Differs { tokens, first } => {
            note(
                true,
                format!(
                    "{tokens} tokens carry loss where the text has no answer, or none where it has; the first is token {first}."
                ),
            );
        }
        Proof::Straddles { tokens, first } => {
            note(
                true,
                format!(
                    "{tokens} tokens are an answer's only in part and count where they begin; the first is token {first}."
                ),
            );
        }
        Proof::Unknown => note(true, "The tokens do not spell the text: nothing is proven.".into()),
    }
    match &about.fastchat {
        None | Some(FastchatVerdict::Same) => {}
        Some(FastchatVerdict::Other) => note(true, "FastChat gives other labels.".into()),
        Some(FastchatVerdict::Raises) => note(true, "FastChat stops here with an exception.".into()),
        Some(FastchatVerdict::Silenced(warning)) => {
            let said = warning.as_ref().map_or_else(String::new, |warning| format!(" It prints “{warning}”"));
            note(loss > 0, format!("FastChat gives no token loss.{said}"));
        }
    }
    json!({"id": id, "tokens": ids.len(), "full": about.full_len, "loss": loss, "runs": runs, "notes": notes})
}

/// A run whose tokens can be seen: a line's end is marked, and characters that do not print are named.
fn run(run: &Run) -> Value {
    let tokens: Vec<String> = run.tokens.iter().map(|token| visible(token)).collect();
    json!({"loss": run.loss, "tokens": tokens})
}

/// A token's text with what does not print made visible; line ends stay behind their mark.
pub fn visible(token: &str) -> String {
    let mut text = String::with_capacity(token.len());
    for c in token.chars() {
        match c {
            '\n' => text.push_str("⏎\n"),
            '\t' => text.push_str("⇥\t"),
            // The control characters' own pictures.
            '\0'..='\x1f' => text.extend(char::from_u32(0x2400 + u32::from(c))),
            '\x7f' => text.push('␡'),
            '\u{80}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {
                text.push_str(&format!("‹{:x}›", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_shown() {
        assert_eq!(visible("a\n\tb\0\u{1b}[1m\u{202e}é"), "a⏎\n⇥\tb␀␛[1m‹202e›é");
    }
}
