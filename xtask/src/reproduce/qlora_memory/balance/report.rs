//! The balance as tables.

use std::fmt::Write;

use super::super::bytes::size;
use super::model::Balance;

/// The whole report.
pub fn markdown(balance: &Balance) -> String {
    let measured = &balance.measured;
    let mut text = format!(
        "# Where the disk is the limit: LLaMA {}\n\n{}, {} threads, products in {}; {} of {} blocks measured, {} each. \
         This disk reads {:.2} GB/s.\n",
        balance.size,
        balance.processor,
        balance.threads,
        measured.compute,
        measured.blocks,
        balance.blocks,
        size(measured.block_bytes),
        balance.disks[0].reading / 1e9,
    );
    computed(balance, &mut text);
    checked(balance, &mut text);
    readings(balance, &mut text);
    lengths(balance, &mut text);
    ranks(balance, &mut text);
    rates(balance, &mut text);
    text
}

/// Seconds of a block, by tokens and rank.
fn computed(balance: &Balance, text: &mut String) {
    let ranks = balance.ranks();
    let head = ranks.iter().map(|rank| format!("rank {rank}: forward, back"));
    table(text, "A block from memory, seconds", "tokens", head);
    for streamed in &balance.measured.streamed {
        let times = ranks.iter().flat_map(|&rank| balance.at_rank(rank));
        let times = times.filter(|times| times.tokens == streamed.tokens);
        row(text, streamed.tokens, times.map(|times| format!("{:.3}, {:.3}", times.forward, times.backward)));
    }
}

/// What streaming was measured to take beside what the formula says.
fn checked(balance: &Balance, text: &mut String) {
    let read = balance.read_seconds(&balance.disks[0]);
    let title = format!("A block read from this disk at rank {}, seconds both ways", balance.rank);
    let head = ["computed", "read", "by the formula", "measured", "", "waiting", "disk, GB/s"];
    table(text, &title, "tokens", head.map(str::to_owned));
    for (times, streamed) in balance.at_rank(balance.rank).zip(&balance.measured.streamed) {
        let expected = times.forward.max(read) + times.backward.max(read);
        let found = streamed.forward + streamed.backward;
        let cells = [
            format!("{:.3}", times.forward + times.backward),
            format!("{:.3}", 2.0 * read),
            format!("{expected:.3}"),
            format!("{found:.3}"),
            format!("{:+.0} %", 100.0 * (found / expected - 1.0)),
            format!("{:.0} %", 100.0 * streamed.waiting),
            format!("{:.2}", streamed.reading / 1e9),
        ];
        row(text, times.tokens, cells);
    }
}

/// The disks that balance the cores.
fn readings(balance: &Balance, text: &mut String) {
    let ranks = balance.ranks();
    let head = ranks.iter().map(|rank| format!("rank {rank}"));
    table(text, "The disk that balances the cores, GB/s", "tokens", head);
    for streamed in &balance.measured.streamed {
        let times = ranks.iter().flat_map(|&rank| balance.at_rank(rank));
        let times = times.filter(|times| times.tokens == streamed.tokens);
        row(
            text,
            streamed.tokens,
            times.map(|times| format!("{:.2}", balance.balanced_reading(times) / 1e9)),
        );
    }
}

/// The lengths at which disk and cores balance, and from which on nothing waits.
fn lengths(balance: &Balance, text: &mut String) {
    let head = balance.disks.iter().map(|disk| format!("{}, {:.1} GB/s", disk.name, disk.reading / 1e9));
    table(text, "Tokens at which disk and cores balance; from which on nothing waits", "rank", head);
    for rank in balance.ranks() {
        let of = |disk| {
            let (balanced, free) =
                (balance.balanced_length(disk, rank), balance.length_without_waits(disk, rank));
            format!("{balanced}; {free}")
        };
        row(text, rank, balance.disks.iter().map(of));
    }
}

/// The ranks at which they balance.
fn ranks(balance: &Balance, text: &mut String) {
    let head = balance.disks.iter().map(|disk| format!("{}, {:.1} GB/s", disk.name, disk.reading / 1e9));
    table(text, "Rank at which disk and cores balance", "tokens", head);
    for streamed in &balance.measured.streamed {
        let tokens = streamed.tokens;
        row(text, tokens, balance.disks.iter().map(|disk| balance.balanced_rank(disk, tokens).to_string()));
    }
}

/// Tokens per second of the whole model.
fn rates(balance: &Balance, text: &mut String) {
    let title = format!("Tokens per second of the whole model at rank {}", balance.rank);
    let head = balance.disks.iter().map(|disk| format!("{}, {:.1} GB/s", disk.name, disk.reading / 1e9));
    table(text, &title, "tokens", head.chain(["weights in memory".to_owned()]));
    for times in balance.at_rank(balance.rank) {
        let disks = balance.disks.iter().map(Some).chain([None]);
        row(text, times.tokens, disks.map(|disk| format!("{:.2}", balance.tokens_per_second(times, disk))));
    }
    let alone =
        balance.disks.iter().map(|disk| format!("{} {:.3} · T", disk.name, balance.reading_alone(disk, 1.0)));
    let alone: Vec<String> = alone.collect();
    let _ = writeln!(
        text,
        "\nTokens per second that reading alone allows a row of T tokens: {}.",
        alone.join(", ")
    );
}

fn table(text: &mut String, title: &str, first: &str, head: impl IntoIterator<Item = String>) {
    let head: Vec<String> = head.into_iter().collect();
    let _ = writeln!(
        text,
        "\n## {title}\n\n| {first} | {} |\n|---|{}",
        head.join(" | "),
        "---|".repeat(head.len())
    );
}

fn row(text: &mut String, first: usize, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(text, "| {first} | {} |", cells.join(" | "));
}
