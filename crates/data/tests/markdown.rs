//! FastChat's `html_to_markdown` over the golden strings.

use camelid_data::clean::exact::{MarkdownError, html_to_markdown};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    html: String,
    markdown: Option<String>,
    error: Option<String>,
}

#[test]
fn every_golden_string_comes_out_byte_for_byte() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let text = std::fs::read_to_string(folder.join("fastchat/pipeline/html_to_markdown.json")).unwrap();
    let goldens: Vec<Golden> = serde_json::from_str(&text).unwrap();
    assert!(goldens.len() >= 440);
    let mut wrong = Vec::new();
    for golden in &goldens {
        let ours = html_to_markdown(&golden.html);
        let right = match (&ours, golden.error.as_deref()) {
            (Ok(ours), None) => Some(ours) == golden.markdown.as_ref(),
            (Err(MarkdownError::Rejected(_)), Some("ParserRejectedMarkup")) => true,
            (Err(MarkdownError::Number(_)), Some("ValueError")) => true,
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{:?}\n  ours   {ours:?}\n  theirs {:?} {:?}",
                golden.html, golden.markdown, golden.error
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), goldens.len(), wrong.join("\n"));
}
