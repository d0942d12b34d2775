//! `tickcast token`: a token for development, signed with the service's own secret.

use crate::clock;
use crate::settings::time;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;
use tickcast_gateway::{Entitlements, read_secret, sign_token};

/// The longest life of such a token.
const LIFE_MAX: Duration = Duration::from_secs(86_400);

/// Arguments of `tickcast token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// File with the secret that the service has as --auth-secret
    #[arg(long, env = "TICKCAST_AUTH_SECRET", value_name = "FILE")]
    auth_secret: PathBuf,
    /// Whom the token names
    #[arg(long, default_value = "dev")]
    sub: String,
    /// How long it is good for, a day at most
    #[arg(long, default_value = "1h", value_name = "TIME")]
    expires: String,
    /// What it entitles to, such as 'coinbase:*/ticker'; repeatable
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    entitlement: Vec<String>,
    /// Subscriptions that each connection may have
    #[arg(long, value_name = "N")]
    max_subscriptions: Option<usize>,
    /// Connections at the same time
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Rates on offer: updates a second, or realtime; repeatable [default: the service's]
    #[arg(long, value_name = "RATE")]
    tier: Vec<String>,
    /// The claim `iss`
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// The claim `aud`
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
}

/// The token. *Errors* name the argument and the value, or the file.
pub(crate) fn make(args: &TokenArgs) -> Result<String> {
    let file = &args.auth_secret;
    ensure!(
        file.exists(),
        "auth_secret: {} does not exist; to make one: openssl rand -base64 32 > {0}",
        file.display()
    );
    let secret = read_secret(file).context("auth_secret")?;
    let life = time("expires", Some(&args.expires), "1h")?;
    ensure!(life <= LIFE_MAX, "expires: {:?} is more than a day", args.expires);
    Entitlements::parse(&args.entitlement)?;
    let mut rights = serde_json::json!({ "entitlements": args.entitlement });
    if let Some(most) = args.max_subscriptions {
        rights["max_subscriptions"] = most.into();
    }
    if let Some(most) = args.max_connections {
        rights["max_connections"] = most.into();
    }
    if !args.tier.is_empty() {
        rights["tiers"] = args.tier.iter().map(|tier| rate(tier)).collect::<Result<_>>()?;
    }
    let now = clock::now().0 / 1_000_000_000;
    let mut claims = serde_json::json!({
        "sub": args.sub,
        "iat": now,
        "exp": now + life.as_secs() as i64,
        "tickcast": rights,
    });
    for (name, value) in [("iss", &args.issuer), ("aud", &args.audience)] {
        if let Some(value) = value {
            claims[name] = value.clone().into();
        }
    }
    Ok(sign_token(&secret, &claims))
}

fn rate(text: &str) -> Result<serde_json::Value> {
    if text == "realtime" {
        return Ok(text.into());
    }
    let rate: f64 = text
        .parse()
        .ok()
        .filter(|rate| *rate > 0.0)
        .with_context(|| format!("tier: {text:?} is neither a rate above 0 nor realtime"))?;
    Ok(rate.into())
}
