//! Grades the answers and prints a report: `cargo test -p exercises`, or `cargo test -p exercises -- linear mlp`.
//!
//! With `--expect-skeletons` it passes exactly if no answer is there yet and each is graded as not written.

use exercises::grader::{Grade, Verdict};
use exercises::list::{ALL, Exercise};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let expect_skeletons = args.iter().any(|arg| arg == "--expect-skeletons");
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|exercise| exercise.name != **name)) {
        eprintln!(
            "error: no exercise `{unknown}`; there are {}",
            ALL.map(|exercise| exercise.name).join(", ")
        );
        return ExitCode::from(2);
    }
    let graded: Vec<(&Exercise, Grade)> = ALL
        .iter()
        .filter(|exercise| names.is_empty() || names.contains(&exercise.name))
        .map(|exercise| (exercise, exercise.grade()))
        .collect();

    println!("\n{:12} {:12} {:62} read", "exercise", "", "write");
    for (exercise, grade) in &graded {
        let write = format!("`{}` in docs/exercises/src/yours/{}.rs", exercise.function, exercise.name);
        println!("{:12} {:12} {write:62} docs/book/{}", exercise.name, summary(grade), exercise.chapter);
    }
    for (exercise, grade) in graded.iter().filter(|(_, grade)| !grade.solved() && !grade.not_begun()) {
        details(exercise, grade, &graded);
    }
    let solved = graded.iter().filter(|(_, grade)| grade.solved()).count();
    println!("\n{solved} of {} solved", graded.len());
    let skeletons = graded.iter().all(|(_, grade)| grade.not_begun());
    let passed = if expect_skeletons { skeletons } else { solved == graded.len() };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(grade: &Grade) -> &'static str {
    match grade {
        _ if grade.solved() => "solved",
        _ if grade.not_begun() => "not written",
        Grade::Tensors(_) => "begun",
        Grade::Panicked(_) => "stops",
    }
}

/// What is right, what is wrong, by how much, and a hint.
fn details(exercise: &Exercise, grade: &Grade, all: &[(&Exercise, Grade)]) {
    println!(
        "\n{} · docs/exercises/src/yours/{}.rs · docs/book/{}",
        exercise.name, exercise.name, exercise.chapter
    );
    for need in exercise.needs {
        if all.iter().any(|(other, grade)| other.name == *need && !grade.solved()) {
            println!("  solve `{need}` first: this one calls it");
        }
    }
    match grade {
        Grade::Panicked(message) => println!("  it stopped: {}", message.replace('\n', "\n    ")),
        Grade::Tensors(rows) => {
            for (tensor, verdict) in rows {
                let (shown, hint) = exercise.hint(tensor);
                println!("  {shown:12} {verdict}");
                if *verdict != Verdict::Right {
                    println!("  {:12} hint: {hint}", "");
                }
            }
        }
    }
}
