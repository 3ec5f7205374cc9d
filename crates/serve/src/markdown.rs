//! From a model's answer to HTML that can do nothing.

use comrak::{Options, markdown_to_html};

/// Markdown (CommonMark with tables, strikethrough, task lists and bare links) as HTML in which no
/// script can run: no `script`, no event handlers, no `javascript:` links, no images fetched from
/// elsewhere. Raw HTML in the text is shown as text, since a model that writes it means it to be seen.
pub fn to_html(text: &str) -> String {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.autolink = true;
    options.render.escape = true;
    let html = markdown_to_html(text, &options);
    ammonia::Builder::default()
        .rm_tags(["img"])
        .add_tags(["input"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        .add_tag_attributes("code", ["class"])
        // A link that was taken its aim would load the page anew.
        .attribute_filter(|element, attribute, value| match (element, attribute, value) {
            ("a", "href", "") => None,
            _ => Some(value.into()),
        })
        .link_rel(Some("noopener noreferrer nofollow"))
        .clean(&html)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::to_html;

    #[test]
    fn tables_lists_and_code_are_rendered() {
        let html = to_html("| a |\n|---|\n| 1 |\n\n- [x] done\n\n```rust\nlet x = 1 < 2;\n```");
        for part in ["<table>", "<td>1</td>", "checkbox", "language-rust", "1 &lt; 2"] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn nothing_in_an_answer_can_run() {
        let answers = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[here](javascript:alert(1))",
            "<a href=\"java&#115;cript:alert(1)\">x</a>",
            "![i](https://example.com/pixel.png)",
            "<svg onload=alert(1)>",
            "<iframe src=\"javascript:alert(1)\"></iframe>",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
        ];
        for answer in answers {
            let html = to_html(answer).to_lowercase();
            for live in
                ["<script", "<img", "<svg", "<iframe", "href=\"javascript", "href=\"data", "href=\"\""]
            {
                assert!(!html.contains(live), "{answer} became {html}");
            }
        }
    }
}
