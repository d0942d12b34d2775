//! Who may come in, as it is set: keys for tokens, and whether anybody may come without one.

use crate::settings::time;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tickcast_gateway::{
    Auth, Entitlements, IDENTITY_CONNECTIONS_MAX, KeyFiles, TokenRules, Tokens, Who,
};
use tickcast_market::Nanos;

/// The table `[auth]`.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthSettings {
    /// File with the secret of HS256 tokens, 32 bytes or more
    #[arg(long = "auth-secret", env = "TICKCAST_AUTH_SECRET", value_name = "FILE")]
    pub(crate) secret: Option<PathBuf>,
    /// PEM file with the public key of RS256, ES256 or EdDSA tokens; repeatable
    #[arg(
        long = "auth-key",
        env = "TICKCAST_AUTH_KEY",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    pub(crate) key: Vec<PathBuf>,
    /// File with a set of such keys (JWKS)
    #[arg(long = "auth-jwks", env = "TICKCAST_AUTH_JWKS", value_name = "FILE")]
    pub(crate) jwks: Option<PathBuf>,
    /// What a token's `iss` has to be
    #[arg(long = "auth-issuer", env = "TICKCAST_AUTH_ISSUER", value_name = "TEXT")]
    pub(crate) issuer: Option<String>,
    /// What a token's `aud` has to name
    #[arg(long = "auth-audience", env = "TICKCAST_AUTH_AUDIENCE", value_name = "TEXT")]
    pub(crate) audience: Option<String>,
    /// Connections that one identity may have, unless its token says fewer [default: 1000]
    #[arg(long = "auth-connections", env = "TICKCAST_AUTH_CONNECTIONS", value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// Time in which a client has to show its token in band [default: 5s]
    #[arg(long = "auth-within", env = "TICKCAST_AUTH_WITHIN", value_name = "TIME")]
    pub(crate) within: Option<String>,
    /// Let clients in that have no token [default: on loopback addresses, where no keys are given]
    #[arg(long, env = "TICKCAST_ALLOW_ANONYMOUS", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) allow_anonymous: Option<bool>,
    /// What those may receive, such as 'coinbase:*/ticker'; repeatable [default: everything]
    #[arg(
        long = "anonymous-entitlement",
        env = "TICKCAST_ANONYMOUS_ENTITLEMENT",
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    pub(crate) anonymous_entitlements: Vec<String>,
}

/// The same, checked; keys are not read yet.
#[derive(Clone, Debug)]
pub(crate) struct AuthRules {
    tokens: Option<TokenRules>,
    nobody: Who,
    connections_max: usize,
    /// How long a client may take to show its token in band.
    pub(crate) within_ms: u32,
}

impl AuthSettings {
    /// These settings, and where they say nothing those of `under`.
    pub(crate) fn over(self, under: AuthSettings) -> AuthSettings {
        let or = |first: Vec<_>, second| if first.is_empty() { second } else { first };
        AuthSettings {
            secret: self.secret.or(under.secret),
            key: if self.key.is_empty() { under.key } else { self.key },
            jwks: self.jwks.or(under.jwks),
            issuer: self.issuer.or(under.issuer),
            audience: self.audience.or(under.audience),
            connections: self.connections.or(under.connections),
            within: self.within.or(under.within),
            allow_anonymous: self.allow_anonymous.or(under.allow_anonymous),
            anonymous_entitlements: or(self.anonymous_entitlements, under.anonymous_entitlements),
        }
    }

    /// Checks them for a service that listens there, perhaps behind proxies. *Errors* name the setting and the value.
    pub(crate) fn resolve(self, listen: SocketAddr, has_proxies: bool) -> Result<AuthRules> {
        let files = KeyFiles { secret: self.secret, public: self.key, jwks: self.jwks };
        let has_tokens = !files.is_empty();
        let is_said = has_tokens || self.allow_anonymous == Some(true);
        ensure!(
            is_said || !has_proxies,
            "trust_proxy: proxies bring clients from elsewhere, and anybody could come in: give \
             --auth-secret, --auth-key or --auth-jwks, or --allow-anonymous if that is meant"
        );
        ensure!(
            is_said || listen.ip().is_loopback(),
            "listen: {listen} can be reached from elsewhere, and anybody could come in: give \
             --auth-secret, --auth-key or --auth-jwks, or --allow-anonymous if that is meant"
        );
        for (name, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if let Some(value) = value {
                ensure!(
                    has_tokens,
                    "auth.{name}: {value:?} says something of tokens, and no keys are given"
                );
            }
        }
        let anonymous = self.allow_anonymous.unwrap_or(!has_tokens);
        ensure!(anonymous || has_tokens, "auth.allow_anonymous: false, and no keys are given");
        let nobody = match &self.anonymous_entitlements[..] {
            [] if anonymous => Who::Anybody,
            [] => Who::Unknown,
            texts if anonymous => {
                let parsed = Entitlements::parse(texts).context("auth.anonymous_entitlements")?;
                Auth::restricted(parsed)
            }
            texts => bail!(
                "auth.anonymous_entitlements: {:?} is for those that come without a token, and \
                 allow_anonymous is not set",
                texts.join(",")
            ),
        };
        let connections_max = self.connections.unwrap_or(IDENTITY_CONNECTIONS_MAX);
        ensure!(connections_max > 0, "auth.connections: 0 lets nobody in");
        let within = time("auth.within", self.within.as_deref(), "5s")?;
        ensure!(within >= Duration::from_millis(100), "auth.within: {within:?} is less than 100ms");
        let within_ms = within.as_millis() as u32; // A day at most.
        let rules = TokenRules { files, issuer: self.issuer, audience: self.audience };
        let tokens = has_tokens.then_some(rules);
        Ok(AuthRules { tokens, nobody, connections_max, within_ms })
    }
}

impl AuthRules {
    /// Whether tokens are understood at all.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Reads the keys. *Errors* name the file.
    pub(crate) fn load(&self, clock: fn() -> Nanos) -> Result<Arc<Auth>> {
        let tokens = self.tokens.clone().map(Tokens::load).transpose().context("auth")?;
        Ok(Arc::new(Auth::new(tokens, self.nobody.clone(), self.connections_max, clock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:8080";
    const OPEN: &str = "0.0.0.0:8080";

    fn resolve(toml: &str, listen: &str) -> Result<AuthRules> {
        let settings: AuthSettings = toml::from_str(toml)?;
        settings.resolve(listen.parse()?, false)
    }

    #[test]
    fn nobody_comes_in_from_elsewhere_unless_that_was_said() {
        let who = |toml, listen| resolve(toml, listen).map(|rules| rules.nobody);
        assert!(matches!(who("", LOOPBACK), Ok(Who::Anybody)));
        assert!(matches!(who("", "[::1]:1"), Ok(Who::Anybody)));
        let error = who("", OPEN).unwrap_err().to_string();
        assert!(error.contains("listen: 0.0.0.0:8080") && error.contains("--allow-anonymous"));
        assert!(matches!(who("allow_anonymous = true", OPEN), Ok(Who::Anybody)));
        assert!(matches!(who("secret = \"x\"", OPEN), Ok(Who::Unknown)));
        assert!(matches!(who("secret = \"x\"", LOOPBACK), Ok(Who::Unknown)));
        let behind_a_proxy = AuthSettings::default().resolve(LOOPBACK.parse().unwrap(), true);
        let error = behind_a_proxy.unwrap_err().to_string();
        assert!(error.contains("trust_proxy: ") && error.contains("--allow-anonymous"));
        let both = "secret = \"x\"\nallow_anonymous = true";
        assert!(matches!(who(both, OPEN), Ok(Who::Anybody)));
        let some = "allow_anonymous = true\nanonymous_entitlements = [\"sim:*/ticker\"]";
        assert!(matches!(who(some, OPEN), Ok(Who::Known(_))));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (toml, part) in [
            ("issuer = \"me\"", "auth.issuer: \"me\""),
            ("audience = \"me\"", "auth.audience: \"me\""),
            ("allow_anonymous = false", "auth.allow_anonymous: false"),
            ("connections = 0", "auth.connections: 0"),
            ("within = \"soon\"", "auth.within: \"soon\""),
            ("within = \"1ms\"", "auth.within: 1ms"),
            ("anonymous_entitlements = [\"x\"]", "auth.anonymous_entitlements"),
            ("secret = \"s\"\nanonymous_entitlements = [\"a:*\"]", "allow_anonymous is not set"),
            ("sercet = \"s\"", "sercet"),
        ] {
            let error = format!("{:#}", resolve(toml, LOOPBACK).unwrap_err());
            assert!(error.contains(part), "{toml}: {error}");
        }
    }
}
