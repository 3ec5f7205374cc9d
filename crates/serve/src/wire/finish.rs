//! Why an answer ended.

use camelid_model::StopReason;

/// OpenAI's word for why a sequence ended.
pub fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Length => "length",
        StopReason::ContentFilter => "content_filter",
        StopReason::StopId(_) | StopReason::StopString | StopReason::TurnEnd | StopReason::Cancelled => {
            "stop"
        }
    }
}
