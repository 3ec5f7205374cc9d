//! The pages.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use minijinja::{Environment, context};
use serde::Deserialize;

use super::api::blocking;
use super::fault::Fault;
use crate::arena::board::{Category, Figures, Snapshot, Standings, csv, json};
use crate::arena::error::ArenaError;
use crate::arena::{Arena, Mode};
use crate::page::{Asset, Link, Page};

/// The arena's own scripts and styles.
pub const ASSETS: [Asset; 3] = [
    Asset::style("/assets/arena.css", include_str!("arena.css")),
    Asset::script("/assets/arena.js", include_str!("arena.js")),
    Asset::script("/assets/board.js", include_str!("board.js")),
];

const LINKS: [Link; 5] = [
    Link { href: "/", words: "Battle" },
    Link { href: "/side-by-side", words: "Side by side" },
    Link { href: "/direct", words: "Direct chat" },
    Link { href: "/leaderboard", words: "Leaderboard" },
    Link { href: "/about", words: "About" },
];

fn environment() -> Environment<'static> {
    camelid_report::environment()
}

/// What serde knows how to write, for a template.
fn value(of: impl serde::Serialize) -> minijinja::Value {
    minijinja::Value::from(minijinja::value::Serde(of))
}

fn page(title: &str, here: &str, script: Option<&str>, main: Result<String, minijinja::Error>) -> Response {
    match main {
        Ok(main) => {
            let scripts: Vec<&str> = script.into_iter().collect();
            let styles = &["/assets/arena.css"];
            Page { title, links: &LINKS, here, main: &main, styles, scripts: &scripts }.into_response()
        }
        Err(error) => Fault::ours(&ArenaError::Page(error), "This page cannot be shown.").into_response(),
    }
}

fn chat(arena: &Arena, mode: Mode) -> Result<String, minijinja::Error> {
    // The page of a blind battle knows no names.
    let models: Vec<String> = match mode {
        Mode::Battle => Vec::new(),
        Mode::SideBySide | Mode::Direct => {
            arena.lobby.players().iter().map(|player| player.name.clone()).collect()
        }
    };
    const SHOWN: usize = 90;
    let suggestions: Vec<_> = arena
        .options
        .suggestions
        .iter()
        .filter_map(|turns| {
            let prompt = turns.first()?;
            let short: String = prompt.chars().take(SHOWN).collect();
            let label = if short.len() < prompt.len() { short + "…" } else { short };
            Some(context! { prompt, label, next => turns.get(1) })
        })
        .collect();
    let longest = arena.options.longest_prompt;
    let mode = value(mode);
    environment().render_str(include_str!("chat.html.j2"), context! { mode, models, suggestions, longest })
}

/// Two models whose names are hidden.
pub async fn battle(State(arena): State<Arc<Arena>>) -> Response {
    page("Battle", "/", Some("/assets/arena.js"), chat(&arena, Mode::Battle))
}

/// Two models that the visitor chooses.
pub async fn side_by_side(State(arena): State<Arc<Arena>>) -> Response {
    page("Side by side", "/side-by-side", Some("/assets/arena.js"), chat(&arena, Mode::SideBySide))
}

/// One model.
pub async fn direct(State(arena): State<Arc<Arena>>) -> Response {
    page("Direct chat", "/direct", Some("/assets/arena.js"), chat(&arena, Mode::Direct))
}

/// How the arena works, and its rules.
pub async fn about(State(arena): State<Arc<Arena>>) -> Response {
    let cleaning = &arena.options.board.cleaning;
    let context = context! {
        cleaning => value(cleaning),
        models => arena.lobby.players().len(),
        category_votes => arena.options.board.category_votes,
        replicates => arena.options.board.replicates,
    };
    page("About", "/about", None, environment().render_str(include_str!("about.html.j2"), context))
}

/// Which board.
#[derive(Debug, Deserialize)]
pub struct Which {
    category: Option<String>,
    /// The board alone, without the page around it.
    #[serde(default)]
    part: bool,
}

/// Waits for the board of all votes so far.
async fn current(arena: &Arc<Arena>) -> Result<Arc<Snapshot>, Fault> {
    let arena = arena.clone();
    let not_made = |error: ArenaError| Fault::ours(&error, "The leaderboard cannot be made.");
    blocking(move || arena.board.current().map_err(not_made)).await
}

/// The board of a category; all votes' unless one is named.
fn board_of<'a>(
    snapshot: &'a Snapshot,
    category: Option<&str>,
) -> Result<Cow<'a, (Category, Standings)>, Fault> {
    let id = category.unwrap_or("overall");
    match snapshot.board(id) {
        Some(board) => Ok(Cow::Borrowed(board)),
        None if id == "overall" => Ok(Cow::Owned((Category::Overall, Standings::default()))),
        None => Err(Fault::missing("There is no such board, or it has too few votes.")),
    }
}

/// The leaderboard.
pub async fn leaderboard(
    State(arena): State<Arc<Arena>>,
    Query(which): Query<Which>,
) -> Result<Response, Fault> {
    let snapshot = current(&arena).await?;
    let main = blocking(move || {
        let board = board_of(&snapshot, which.category.as_deref())?;
        let not_shown = |error: ArenaError| Fault::ours(&error, "The leaderboard cannot be shown.");
        snapshot.page(&board.0.id(), || render_board(&arena, &snapshot, &board)).map_err(not_shown)
    })
    .await?;
    if which.part {
        return Ok(([(header::CACHE_CONTROL, "no-store")], Html(main)).into_response());
    }
    let main = format!("<div id=\"board\">{}</div>", String::from_utf8_lossy(&main));
    Ok(page("Leaderboard", "/leaderboard", Some("/assets/board.js"), Ok(main)))
}

fn render_board(
    arena: &Arena,
    snapshot: &Snapshot,
    (category, standings): &(Category, Standings),
) -> Result<String, ArenaError> {
    let figures = Figures::draw(snapshot, standings, &arena.store.history()?)?;
    let categories: Vec<_> = snapshot
        .boards
        .iter()
        .map(|(category, board)| context! { id => category.id(), title => category.title(), votes => board.votes })
        .collect();
    let figures = context! {
        intervals => minijinja::Value::from_safe_string(figures.intervals),
        wins => minijinja::Value::from_safe_string(figures.wins),
        votes => minijinja::Value::from_safe_string(figures.votes),
        history => minijinja::Value::from_safe_string(figures.history),
    };
    let context = context! {
        votes => snapshot.votes, counted => snapshot.counted, dropped => snapshot.dropped.clone(),
        category => category.id(), title => category.title(), categories, figures,
        standings => value(standings), cards => value(arena.board.cards()),
    };
    Ok(environment().render_str(include_str!("board.html.j2"), context)?)
}

/// All boards as JSON.
pub async fn leaderboard_json(State(arena): State<Arc<Arena>>) -> Result<Response, Fault> {
    let snapshot = current(&arena).await?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, Json(json(&snapshot, arena.board.cards()))).into_response())
}

/// One board as separated values.
pub async fn leaderboard_csv(
    State(arena): State<Arc<Arena>>,
    Query(which): Query<Which>,
) -> Result<Response, Fault> {
    let snapshot = current(&arena).await?;
    let board = board_of(&snapshot, which.category.as_deref())?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"leaderboard.csv\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, csv(&board.1, arena.board.cards())).into_response())
}
