//! The frame of a page.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Value, context};

/// What a page may load and run: its own scripts and styles, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SHELL: &str = include_str!("shell.html.j2");

/// A way to another page, shown at the top.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Link {
    /// Where it leads.
    pub href: &'static str,
    /// What it says.
    pub words: &'static str,
}

/// A page: what differs from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Page<'a> {
    /// The title, as text.
    pub title: &'a str,
    /// The ways to other pages.
    pub links: &'a [Link],
    /// Which of them leads here, by its `href`.
    pub here: &'a str,
    /// What stands in `main`, as HTML in which every foreign text is escaped:
    /// [`camelid_report::environment`] does so.
    pub main: &'a str,
    /// Paths of further style sheets.
    pub styles: &'a [&'a str],
    /// Paths of scripts, which are modules.
    pub scripts: &'a [&'a str],
}

impl Page<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When the template cannot be rendered, which no text causes.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let page = context! {
            title => self.title,
            links => Value::from(Serde(self.links)),
            here => self.here,
            main => Value::from_safe_string(self.main.to_owned()),
            styles => Value::from(Serde(self.styles)),
            scripts => Value::from(Serde(self.scripts)),
        };
        camelid_report::environment().render_str(SHELL, page)
    }
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        match self.html() {
            Ok(html) => {
                let headers = [
                    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                    (header::REFERRER_POLICY, "no-referrer"),
                    (header::CACHE_CONTROL, "no-cache"),
                ];
                (headers, Html(html)).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_escapes_its_title_marks_where_it_is_and_has_nothing_inline() {
        let links = [Link { href: "/", words: "Chat" }, Link { href: "/docs", words: "API" }];
        let page = Page {
            title: "<b>",
            links: &links,
            here: "/docs",
            main: "<p>hello</p>",
            scripts: &["/assets/chat.js"],
            styles: &["/assets/chat.css"],
        };
        let html = page.html().unwrap();
        for part in [
            "<title>&lt;b&gt;</title>",
            "<p>hello</p>",
            "<a href=\"&#x2f;docs\" aria-current=\"page\">",
            "src=\"&#x2f;assets&#x2f;chat.js\"",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert_eq!(html.matches("aria-current").count(), 1);
        assert!(!html.contains("<style") && !html.contains("onclick"), "{html}");
        assert!(
            html.matches("<script").count()
                == html.matches("<script src").count() + html.matches("<script type=\"module\" src").count()
        );
    }
}
