//! What an evolution does beside asking models, over 2,000 rows, and ROUGE-L over 3,000 instructions. The
//! full sizes, 250,000 and 52,000, are `cargo run -p camelid-evolve --example evolve_times`.

use std::time::Duration;

use camelid_evolve::{ContaminationSettings, Decontaminator, Duplicates, RuleSettings, TestItem};
use camelid_tests::MadeUp;
use camelid_text::rouge::Earlier;
use criterion::{Criterion, Throughput};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evolve");
    group.measurement_time(Duration::from_secs(3));
    eliminate(&mut group);
    rouge(&mut group);
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn eliminate(group: &mut Group) {
    let mut made_up = MadeUp::new(1);
    let item =
        |id: usize| TestItem { set: "made up".into(), id: id.to_string(), text: made_up.text(30..=90) };
    let against = Decontaminator::new((0..1000).map(item), ContaminationSettings::default());
    let against = against.expect("the default settings are in range");
    let mut row = |_| [made_up.text(10..=40), made_up.text(20..=60), made_up.text(40..=300)];
    let rows: Vec<[String; 3]> = (0..2000).map(&mut row).collect();
    let (rules, names) = (RuleSettings::default(), ["given task".to_owned()]);
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.bench_function("eliminate, find duplicates, decontaminate", |bencher| {
        bencher.iter(|| {
            let mut living = Duplicates::new(rules.near_duplicates).expect("temporary files");
            let mut lives = 0;
            for (at, [parent, instruction, response]) in rows.iter().enumerate() {
                let id = at.to_string();
                let ended = rules.of_instruction(instruction, parent, &names, false).is_some()
                    || living.of(instruction, &id).expect("temporary files").is_some()
                    || rules.of_response(response, instruction, false).is_some()
                    || !against.hits(instruction).is_empty()
                    || !against.hits(response).is_empty();
                if !ended {
                    living.add(instruction, &id).expect("temporary files");
                    lives += 1;
                }
            }
            assert!(lives > 1900, "{lives}");
        });
    });
}

fn rouge(group: &mut Group) {
    let mut made_up = MadeUp::new(2);
    let texts: Vec<String> = (0..3000).map(|_| made_up.text(5..=25)).collect();
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("ROUGE-L against all earlier", |bencher| {
        bencher.iter(|| {
            let mut earlier = Earlier::new(0.7);
            for text in &texts {
                if earlier.like(text).is_none() {
                    earlier.add(text);
                }
            }
            earlier.len()
        });
    });
}
