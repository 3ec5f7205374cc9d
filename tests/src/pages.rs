//! What pages in Markdown tell readers to type, so that tests can try it.

use std::path::{Path, PathBuf};

use crate::workspace;

/// The pages of the book and every README, by their paths in the workspace.
///
/// # Panics
/// When a folder of the workspace cannot be read.
pub fn pages() -> Vec<PathBuf> {
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let root = workspace();
    let is_page = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "md");
    let mut pages: Vec<PathBuf> = listed(root).into_iter().filter(is_page).collect();
    pages.extend(listed(&root.join("docs")).into_iter().filter(is_page));
    for folder in ["crates", "papers"] {
        pages.extend(listed(&root.join(folder)).iter().map(|one| one.join("README.md")));
    }
    pages.extend(
        ["kernels/README.md", "benches/README.md", "notebooks/README.md"].map(|name| root.join(name)),
    );
    pages.retain(|page| page.is_file());
    pages.sort();
    pages
}

/// The fenced blocks of a page in one of these languages, with the line each begins at.
pub fn blocks<'a>(page: &'a str, languages: &[&str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut inside: Option<(bool, usize, usize)> = None;
    let mut offset = 0;
    for (number, line) in page.split_inclusive('\n').enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = match inside {
                None => {
                    let wanted = languages.contains(&language.trim());
                    Some((wanted, number + 2, offset + line.len()))
                }
                Some((wanted, first, start)) => {
                    if wanted {
                        found.push((first, &page[start..offset]));
                    }
                    None
                }
            };
        }
        offset += line.len();
    }
    found
}

/// The command lines of a page's `sh` blocks, and of those lines of its `console` blocks that begin with
/// `$ `, each as its words. A pipeline is several commands; what output goes to is left out.
pub fn commands(page: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for (_, block) in blocks(page, &["sh"]) {
        block.replace("\\\n", " ").lines().for_each(|line| commands.extend(words(line)));
    }
    for (_, block) in blocks(page, &["console"]) {
        let joined = block.replace("\\\n", " ");
        let typed = joined.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
        typed.for_each(|line| commands.extend(words(line)));
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// A line of a shell as its commands: quotes and comments are understood, variables are not.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, '#') if !begun => break,
            (None, letter) if letter.is_whitespace() || "|&;<>".contains(letter) => {
                if begun {
                    last(&mut commands).push(std::mem::take(&mut word));
                    begun = false;
                }
                match letter {
                    '|' | '&' | ';' => commands.push(Vec::new()),
                    // Neither is the number of a stream before it an argument, nor the file that follows.
                    '<' | '>' => {
                        let stream =
                            letter == '>' && last(&mut commands).last().is_some_and(|word| word == "2");
                        if stream {
                            last(&mut commands).pop();
                        }
                        while letters.next_if(|next| next.is_whitespace() || *next == '>').is_some() {}
                        while letters.next_if(|next| !next.is_whitespace()).is_some() {}
                    }
                    _ => {}
                }
            }
            (None, letter) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        last(&mut commands).push(word);
    }
    commands
}

fn last(commands: &mut Vec<Vec<String>>) -> &mut Vec<String> {
    if commands.is_empty() {
        commands.push(Vec::new());
    }
    let at = commands.len() - 1;
    &mut commands[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_a_shell_would_read_them() {
        let page = "text\n```sh\ncamelid chat --prompt 'a b' # why\ncamelid man | man -l - && echo done\n\
                    camelid eval \\\n    tasks > out.txt 2> log\n```\n```console\n$ camelid data list\nlist\n```\n\
                    ```toml\ncamelid = 1\n```\n";
        let expected: Vec<Vec<String>> = [
            &["camelid", "chat", "--prompt", "a b"][..],
            &["camelid", "man"],
            &["man", "-l", "-"],
            &["echo", "done"],
            &["camelid", "eval", "tasks"],
            &["camelid", "data", "list"],
        ]
        .iter()
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .collect();
        assert_eq!(commands(page), expected);
        assert_eq!(blocks(page, &["toml"]), [(13, "camelid = 1\n")]);
    }
}
