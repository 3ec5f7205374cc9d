//! Style of a battle's answers, from columns or from FastChat's `conv_metadata`.

use serde_json::{Map, Value};

use super::fields::{Fields, optional_number};
use super::values::Metadata;
use crate::battles::Style;
use crate::error::RejectedRow;

/// What is expected of `conv_metadata`.
const METADATA: &str = "an object with the numbers sum_assistant_a_tokens and sum_assistant_b_tokens, as JSON or as \
                        Python prints it";

/// Style of both answers, of `conv_metadata` as the arena publishes it or of columns; features that are not
/// there are zero, `None` without a length. An error for metadata that tell no style, where no columns do.
pub(super) fn style(row: &dyn Fields) -> Result<Option<[Style; 2]>, RejectedRow> {
    let unread = match row.metadata() {
        Metadata::Missing => None,
        Metadata::Unread(found) => Some(found),
        Metadata::Object(metadata) => match style_of_metadata(&metadata) {
            Some(style) => return Ok(Some(style)),
            None => Some(Value::Object(metadata.into_owned()).to_string()),
        },
    };
    match (style_columns(row)?, unread) {
        (None, Some(found)) => Err(RejectedRow::new("conv_metadata", found, METADATA)),
        (style, _) => Ok(style),
    }
}

/// Style from the columns `length_a`, `headers_a`, `lists_a`, `bold_a` and their `_b` partners.
fn style_columns(row: &dyn Fields) -> Result<Option<[Style; 2]>, RejectedRow> {
    let number = |name: &str, side: char| {
        let number = optional_number(row, &[&format!("{name}_{side}")])?;
        Ok::<_, RejectedRow>(number.map(|number| number as f32))
    };
    let side = |side: char| {
        let [length, headers, lists, bold] =
            ["length", "headers", "lists", "bold"].map(|name| number(name, side));
        let [headers, lists, bold] = [headers?, lists?, bold?].map(|count| count.unwrap_or(0.0));
        Ok::<_, RejectedRow>(length?.map(|length| Style { length, headers, lists, bold }))
    };
    Ok(side('a')?.zip(side('b')?).map(|(a, b)| [a, b]))
}

/// Style from FastChat's `conv_metadata`: counts are numbers, or objects of counts by kind, as in
/// `{"h1": 2, "h2": 0}`. `None` where a length is missing, or where something else than a number stands for
/// a count.
fn style_of_metadata(metadata: &Map<String, Value>) -> Option<[Style; 2]> {
    let count = |value: &Value| if value.is_null() { Some(0.0) } else { value.as_f64() };
    let total = |name: String| match metadata.get(&name) {
        Some(Value::Object(kinds)) => kinds.values().map(count).sum::<Option<f64>>(),
        Some(value) => count(value),
        None => Some(0.0),
    };
    let side = |side: char| {
        let length = metadata.get(&format!("sum_assistant_{side}_tokens"))?.as_f64()?;
        let [headers, lists, bold] =
            ["header", "list", "bold"].map(|kind| total(format!("{kind}_count_{side}")));
        let [headers, lists, bold] = [headers?, lists?, bold?].map(|count| count as f32);
        Some(Style { length: length as f32, headers, lists, bold })
    };
    Some([side('a')?, side('b')?])
}
