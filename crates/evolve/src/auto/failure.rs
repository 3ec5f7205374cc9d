//! Answers that show that the evolved task was none, by the detectors of Auto Evol-Instruct
//! (arXiv 2406.00770, appendix: failure detection).

/// How an answer begins that takes the task for news.
const TAKES_NOTE: [&str; 4] = ["i understand", "understood", "thank you", "thanks"];

/// What is wrong with an answer: it takes note and asks back, agrees and asks back, or asks for what the
/// task should have given.
pub(super) fn of_response(response: &str) -> Option<&'static str> {
    let said = response.trim().to_lowercase();
    let asks = said.ends_with('?');
    if asks && TAKES_NOTE.iter().any(|start| said.starts_with(start)) {
        return Some("the answer takes note and asks back");
    }
    if asks && said.starts_with("sure") {
        return Some("the answer agrees and asks back");
    }
    said.contains("please provide").then_some("the answer asks for what the task does not give")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_ask_back_are_failures() {
        for (response, failed) in [
            ("Thank you for the details! What shall I do?", true),
            ("Sure, which river do you mean?", true),
            ("Please provide the table.", true),
            ("Sure, here it is: the Rhine.", false),
            ("The Rhine. Is that enough?", false),
            ("Thanks to the Rhine the valley is fertile.", false),
        ] {
            assert_eq!(of_response(response).is_some(), failed, "{response}");
        }
    }
}
