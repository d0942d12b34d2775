//! Tests that hold the coefficients, benches/RESULTS.md and docs/capacity.md together, and the
//! documented examples to what the command prints.

use super::{costs, estimate, text, wish::Wish};
use crate::command::root;

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect(name)
}

/// The cells of the table's row that begins with this one.
fn row<'a>(text: &'a str, first: &str) -> Option<Vec<&'a str>> {
    let cells = |line: &'a str| -> Vec<&'a str> {
        line.trim().trim_matches('|').split('|').map(str::trim).collect()
    };
    text.lines().filter(|line| line.starts_with('|')).map(cells).find(|cells| cells[0] == first)
}

#[test]
fn coefficients_are_those_that_were_measured_and_those_that_are_documented() {
    let (results, document) = (read("benches/RESULTS.md"), read("docs/capacity.md"));
    for cost in costs::ALL {
        let name = cost.name.to_lowercase();
        for (place, text) in [("benches/RESULTS.md", &results), ("docs/capacity.md", &document)] {
            let cells = row(text, &name).unwrap_or_else(|| panic!("{place}: {name} is missing"));
            let value: f64 = cells[1].parse().expect("a number");
            assert_eq!((value, cells[2]), (cost.value, cost.unit), "{place}: {name}");
        }
    }
}

#[test]
fn examples_are_what_the_command_prints() {
    let document = read("docs/capacity.md");
    let mut examples = 0;
    for block in document.split("```console\n$ cargo xtask capacity ").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        let block = block.replace("\\\n", " ");
        let (args, expect) = block.split_once('\n').expect("output follows");
        let args: Vec<String> = args.split_whitespace().map(String::from).collect();
        let wish = Wish::read(&args).expect("the example's flags are good");
        let printed = text::text(&wish, &estimate::estimate(&wish));
        assert_eq!(printed, expect, "{args:?}");
        examples += 1;
    }
    assert!(examples >= 3, "{examples} examples");
}

#[test]
fn estimates_grow_with_what_they_are_of() {
    let of = |args: &str| {
        let args: Vec<String> = args.split_whitespace().map(String::from).collect();
        estimate::estimate(&Wish::read(&args).expect("good flags"))
    };
    let gateways = |estimate: &estimate::Estimate| estimate.hosts.last().expect("gateways").count;
    let base = "--instruments 1000 --rate 5 --subscriptions 20 --max-rate 1";
    let (few, many) =
        (of(&format!("{base} --clients 10000")), of(&format!("{base} --clients 1000000")));
    assert!(gateways(&many) > gateways(&few));
    assert!(many.gateway_clients * gateways(&many) >= 1e6, "nobody is left out");
    let regions = of(&format!("{base} --clients 1000000 --regions 3"));
    assert_eq!(gateways(&regions) % 3.0, 0.0, "regions are alike");
    assert!(regions.hosts.iter().any(|hosts| hosts.name == "NATS, leaf"));
    assert!(many.published <= many.events);
    assert!(many.limits.is_sorted_by(|a, b| a.used >= b.used));
    let one = of("--instruments 1 --rate 1 --subscriptions 1 --clients 1");
    assert_eq!((one.streams, gateways(&one)), (1.0, 1.0));
}

#[test]
fn what_cannot_be_and_what_could_be_better_is_said() {
    let of = |more: &str| {
        let args = format!("--instruments 5000 --clients 1000000 --subscriptions 20 {more}");
        let args: Vec<String> = args.split_whitespace().map(String::from).collect();
        let wish = Wish::read(&args).expect("good flags");
        let estimate = estimate::estimate(&wish);
        (estimate.is_possible(), text::text(&wish, &estimate))
    };
    let (is_possible, said) = of("--rate 1 --gateway-clients 2000");
    assert!(is_possible && said.contains("leaf nodes need less: --regions 2"), "{said}");
    let (is_possible, said) = of("--rate 1 --gateway-clients 2000 --regions 2");
    assert!(is_possible && !said.contains("leaf nodes need less"), "{said}");
    let (is_possible, said) = of("--rate 50 --regions 3");
    assert!(!is_possible && said.contains("NOT POSSIBLE"), "{said}");
}
