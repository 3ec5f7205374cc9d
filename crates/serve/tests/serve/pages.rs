//! Pages and the description of the API.

use serde_json::json;

use crate::running::Running;

#[test]
fn the_chat_page_and_its_files_are_served_and_forbid_foreign_scripts() {
    let server = Running::start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for part in ["<title>Chat</title>", "role=\"log\"", "id=\"stop\"", "<label"] {
        assert!(page.text.contains(part), "{part}");
    }
    let linked = page
        .text
        .split('"')
        .map(|part| part.replace("&#x2f;", "/"))
        .filter(|part| part.starts_with("/assets/"));
    let mut bytes = 0;
    for path in linked.collect::<Vec<_>>() {
        let file = server.get(&path);
        assert_eq!(file.status, 200, "{path}");
        let tag = file.header("etag").unwrap().to_owned();
        assert_eq!(server.send("GET", &path, &[("if-none-match", &tag)], "").status, 304);
        bytes += file.text.len();
    }
    assert!((4_000..24_000).contains(&bytes), "{bytes} bytes of scripts and styles");
}

#[test]
fn answers_become_html_in_which_nothing_runs() {
    let server = Running::start();
    let html = server.post("/page/markdown", json!({"text": "**a** <script>alert(1)</script>"})).json();
    let html = html["html"].as_str().unwrap();
    assert!(html.contains("<strong>a</strong>") && !html.contains("<script"), "{html}");
}

#[test]
fn the_api_is_described() {
    let server = Running::start();
    let api = server.get("/openapi.json").json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    for path in
        ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/metrics"]
    {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    assert_eq!(server.get("/docs").status, 200);
}
