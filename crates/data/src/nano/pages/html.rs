//! Replies as the pages of ShareGPT hold them: the HTML of a chat window.

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph; words between backticks are code.
    Text(String),
    /// An unordered list.
    List(Vec<String>),
    /// A block of code.
    Code {
        /// What the block's head says.
        language: &'static str,
        /// The code.
        text: String,
    },
}

impl Block {
    /// The piece as Markdown, as cleaning is to write it.
    pub fn markdown(&self) -> String {
        match self {
            Block::Text(text) => text.clone(),
            Block::List(items) => items.iter().map(|item| format!("* {item}")).collect::<Vec<_>>().join("\n"),
            Block::Code { language, text } => format!("```{language}\n{text}\n```"),
        }
    }
}

/// The frame of a reply.
const FRAME: &str = "<div class=\"markdown prose w-full break-words dark:prose-invert light\">";

/// A reply's HTML. `counter` is what the page shows of a reply that was made anew: which of how many.
pub fn reply(blocks: &[Block], counter: Option<(usize, usize)>) -> String {
    let mut html = match counter {
        Some((which, of)) => format!("{which} / {of}"),
        None => String::new(),
    };
    html.push_str(FRAME);
    for block in blocks {
        match block {
            Block::Text(text) => html += &format!("<p>{}</p>", inline(text)),
            Block::List(items) => {
                html.push_str("<ul>");
                items.iter().for_each(|item| html += &format!("<li>{}</li>", inline(item)));
                html.push_str("</ul>");
            }
            Block::Code { language, text } => html += &code(language, text),
        }
    }
    html + "</div>"
}

fn code(language: &str, text: &str) -> String {
    format!(
        "<pre><div class=\"bg-black mb-4 rounded-md\"><div class=\"flex items-center text-gray-200 bg-gray-800 \
         px-4 py-2 text-xs font-sans\"><span class=\"\">{language}</span><button class=\"flex ml-auto gap-2\">\
         Copy code</button></div><div class=\"p-4 overflow-y-auto\"><code class=\"!whitespace-pre hljs \
         language-{language}\">{}\n</code></div></div></pre>",
        escaped(text)
    )
}

/// Escaped text with what stands between backticks as code.
fn inline(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(i, part)| if i % 2 == 0 { escaped(part) } else { format!("<code>{}</code>", escaped(part)) })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_framed_escaped_and_counted() {
        let blocks = [
            Block::Text("In `a<b>` is b & c.".to_owned()),
            Block::List(vec!["x".to_owned(), "y".to_owned()]),
        ];
        assert_eq!(
            reply(&blocks, Some((1, 2))),
            format!(
                "1 / 2{FRAME}<p>In <code>a&lt;b&gt;</code> is b &amp; c.</p><ul><li>x</li><li>y</li></ul></div>"
            )
        );
        let code = reply(&[Block::Code { language: "rust", text: "a();".to_owned() }], None);
        assert!(code.contains("Copy code</button>") && code.contains(">a();\n</code>"), "{code}");
    }
}
