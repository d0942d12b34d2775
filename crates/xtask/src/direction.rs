//! Which crate may use which: the table of the architecture, judged with `cargo tree`.
//!
//! *Invariant:* development dependencies are free to point anywhere (tests run real parts), the
//! others are not.

use crate::check::Fault;
use crate::command;
use anyhow::Result;

/// What a crate may use of ours.
enum May {
    Use(&'static [&'static str]),
    UseAny,
}

/// The table. A crate that is not in it is a fault: decide where it stands first.
const TABLE: &[(&str, May)] = &[
    ("tickcast-market", May::Use(&[])),
    ("tickcast-wire", May::Use(&["tickcast-market"])),
    // Where a NATS server is and how one comes in; knows nothing of markets.
    ("tickcast-nats", May::Use(&[])),
    ("tickcast-feed", May::Use(&["tickcast-market", "tickcast-nats"])),
    ("tickcast-publisher", May::Use(&["tickcast-market", "tickcast-wire"])),
    ("tickcast-gateway", May::Use(&["tickcast-market", "tickcast-wire", "tickcast-publisher"])),
    (
        "tickcast-relay",
        May::Use(&["tickcast-market", "tickcast-wire", "tickcast-publisher", "tickcast-nats"]),
    ),
    ("tickcast-client", May::Use(&["tickcast-market", "tickcast-wire"])),
    ("tickcast", May::UseAny),
    ("tickcast-xtask", May::Use(&[])),
    // An independent witness: it must not share the code that it judges.
    ("loadtest", May::Use(&["tickcast-wire", "tickcast-client"])),
    ("tickcast-benches", May::UseAny),
    ("tickcast-fuzz", May::UseAny),
];

/// The only dependencies from elsewhere that these crates may have.
const OUTSIDE_ONLY: &[(&str, &[&str])] =
    &[("tickcast-market", &["thiserror"]), ("tickcast-xtask", &["anyhow"])];

/// Who may depend on what not everyone may.
///
/// The fuzz targets have the binary's settings in them.
const RESERVED: &[(&str, &[&str])] =
    &[("anyhow", &["tickcast", "tickcast-xtask", "tickcast-fuzz"])];

/// What must not occur anywhere below a crate.
const ABSENT: &[(&str, &str)] = &[("tickcast-gateway", "h2")];

/// A crate of the workspace and what it depends on directly.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: String,
    uses: Vec<String>,
}

/// Checks the whole workspace.
///
/// # Errors
/// When `cargo tree` failed, which it also does when `Cargo.lock` is not up to date.
pub(crate) fn check() -> Result<Vec<Fault>> {
    let mut faults = judge_direct(&members("normal,build")?);
    faults.extend(judge_reserved(&members("all")?));
    for (name, absent) in ABSENT {
        let below = tree(&["--package", name, "--edges", "normal,build", "--prefix", "none"])?;
        faults.extend(judge_absent(name, absent, &below));
    }
    Ok(faults)
}

fn members(edges: &str) -> Result<Vec<Member>> {
    let args = ["--workspace", "--edges", edges, "--depth", "1", "--prefix", "depth"];
    Ok(parse_members(&tree(&[&args[..], &["--no-dedupe", "--all-features"]].concat())?))
}

fn tree(args: &[&str]) -> Result<String> {
    command::output(command::cargo().args(["tree", "--locked", "--target", "all"]).args(args))
}

/// Reads lines such as `0tickcast-wire v0.1.0 (/somewhere)` and `1serde v1.0.0`.
fn parse_members(tree: &str) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for line in tree.lines() {
        let Some(name) = line.split(' ').next() else { continue };
        if let Some(name) = name.strip_prefix('0') {
            members.push(Member { name: name.into(), uses: Vec::new() });
        } else if let (Some(name), Some(member)) = (name.strip_prefix('1'), members.last_mut()) {
            member.uses.push(name.into());
        }
    }
    members
}

fn judge_direct(members: &[Member]) -> Vec<Fault> {
    let ours: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut faults = Vec::new();
    for Member { name, uses } in members {
        let Some((_, may)) = TABLE.iter().find(|(known, _)| known == name) else {
            faults.push(fault(name, "is not in the table of dependency directions"));
            continue;
        };
        let outside = OUTSIDE_ONLY.iter().find(|(only, _)| only == name);
        for used in uses {
            let allowed = match (may, ours.contains(&used.as_str())) {
                (May::UseAny, true) => true,
                (May::Use(these), true) => these.contains(&used.as_str()),
                (_, false) => outside.is_none_or(|(_, these)| these.contains(&used.as_str())),
            };
            if !allowed {
                faults.push(fault(name, format!("must not depend on {used}")));
            }
        }
    }
    faults
}

fn judge_reserved(members: &[Member]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for Member { name, uses } in members {
        for (reserved, owners) in RESERVED {
            if uses.iter().any(|used| used == reserved) && !owners.contains(&name.as_str()) {
                let rule = format!("{reserved} is for {} only", owners.join(" and "));
                faults.push(fault(name, rule));
            }
        }
    }
    faults
}

fn judge_absent(name: &str, absent: &str, below: &str) -> Option<Fault> {
    below
        .lines()
        .any(|line| line.split(' ').next() == Some(absent))
        .then(|| fault(name, format!("{absent} must not be in its tree")))
}

fn fault(name: &str, rule: impl Into<String>) -> Fault {
    Fault { place: format!("crate {name}"), rule: rule.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_broken(tree: &str) -> Vec<String> {
        let members = parse_members(tree);
        let faults = judge_direct(&members).into_iter().chain(judge_reserved(&members));
        faults.map(|fault| format!("{}: {}", fault.place, fault.rule)).collect()
    }

    #[test]
    fn what_the_table_allows_is_no_fault() {
        let tree = "0tickcast-wire v0.1.0 (/x)\n1serde v1.0.0\n1tickcast-market v0.1.0 (/x)\n\n\
                    0tickcast-market v0.1.0 (/x)\n1thiserror v2.0.0\n";
        assert_eq!(rules_broken(tree), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_dependency_is_named_with_its_crate() {
        let check = |tree: &str, expect: &str| assert_eq!(rules_broken(tree), [expect], "{tree}");
        check(
            "0tickcast-market v0.1.0 (/x)\n1serde v1.0.0\n",
            "crate tickcast-market: must not depend on serde",
        );
        check(
            "0tickcast-feed v0.1.0 (/x)\n1tickcast-wire v0.1.0 (/x)\n0tickcast-wire v0.1.0 (/x)\n",
            "crate tickcast-feed: must not depend on tickcast-wire",
        );
        check(
            "0tickcast-client v0.1.0 (/x)\n1anyhow v1.0.0\n",
            "crate tickcast-client: anyhow is for tickcast and tickcast-xtask and tickcast-fuzz only",
        );
        check(
            "0tickcast-extra v0.1.0 (/x)\n",
            "crate tickcast-extra: is not in the table of dependency directions",
        );
    }

    #[test]
    fn a_crate_that_must_be_absent_is_found_at_any_depth_but_only_by_its_whole_name() {
        assert!(judge_absent("g", "h2", "g v1\nhyper v1\nh2 v0.4 (*)\n").is_some());
        assert!(judge_absent("g", "h2", "g v1\nh2-extra v1\n").is_none());
    }
}
