//! Makes tokens, good ones and forgeries, without the library that judges them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};

/// The secret of HS256.
pub(crate) const SECRET: &[u8] = b"a secret that is long enough to be one, for tests";

/// A key pair of each kind.
pub(crate) struct Keys {
    pub(crate) rsa: rsa::KeyPair,
    pub(crate) ec: EcdsaKeyPair,
    pub(crate) ed: Ed25519KeyPair,
    random: SystemRandom,
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the pieces of a DER structure begin with: a tag and a length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content.to_vec()].concat()
}

/// A public key as it stands in a PEM file (RFC 5280, section 4.1).
fn public_pem(algorithm: &[u8], key: &[u8]) -> String {
    let bits = der(3, &[&[0], key].concat());
    let info = der(0x30, &[der(0x30, algorithm), bits].concat());
    let text = STANDARD.encode(info);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const EC_P256: &[u8] =
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

impl Keys {
    pub(crate) fn new() -> Keys {
        let random = SystemRandom::new();
        let pem = include_str!("rsa_for_tests.pem");
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let rsa = rsa::KeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random)
            .unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
        Keys { rsa, ec, ed, random }
    }

    /// The public keys in PEM: RSA's, P-256's, Ed25519's.
    pub(crate) fn pems(&self) -> [String; 3] {
        [
            public_pem(RSA, self.rsa.public().as_ref()),
            public_pem(EC_P256, self.ec.public_key().as_ref()),
            public_pem(ED25519, self.ed.public_key().as_ref()),
        ]
    }

    /// The public keys as a set, named `<prefix>-rsa`, `-ec`, `-ed`.
    pub(crate) fn jwks(&self, prefix: &str) -> Value {
        let rsa::PublicKeyComponents::<Vec<u8>> { n, e } = self.rsa.public().into();
        let point = self.ec.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"keys": [
            {"kty": "RSA", "kid": format!("{prefix}-rsa"), "use": "sig", "alg": "RS256",
             "n": base64url(n), "e": base64url(e)},
            {"kty": "EC", "kid": format!("{prefix}-ec"), "crv": "P-256",
             "x": base64url(x), "y": base64url(y)},
            {"kty": "OKP", "kid": format!("{prefix}-ed"), "crv": "Ed25519",
             "x": base64url(self.ed.public_key())},
        ]})
    }

    /// The signature that an algorithm makes.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match algorithm {
            "HS256" => hmac(SECRET, message),
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&self.random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            _ => Vec::new(),
        }
    }

    /// A token of this head and these claims, signed as the head says.
    pub(crate) fn token(&self, head: &Value, claims: &Value) -> String {
        let message = message(head, claims);
        let algorithm = head["alg"].as_str().unwrap_or("HS256");
        let signature = self.sign(algorithm, message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }
}

/// What is signed: a head and claims.
pub(crate) fn message(head: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(head.to_string()), base64url(claims.to_string()))
}

pub(crate) fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}

/// Claims of `sub` that entitle to everything for `seconds`.
pub(crate) fn claims(sub: &str, seconds: i64) -> Value {
    json!({"sub": sub, "exp": now() + seconds, "tickcast": {"entitlements": ["*"]}})
}

/// The same, entitled to these.
pub(crate) fn entitled(sub: &str, seconds: i64, entitlements: &[&str]) -> Value {
    json!({"sub": sub, "exp": now() + seconds, "tickcast": {"entitlements": entitlements}})
}

/// Tokens that nobody may take, by the trick that each one tries; against a service that has the
/// secret, the public keys of `keys` in a set named `a`, the issuer `desk.example` and the audience
/// `tickcast`.
pub(crate) fn forgeries(keys: &Keys) -> Vec<(&'static str, String)> {
    let mut good = claims("mallory", 600);
    good["iss"] = "desk.example".into();
    good["aud"] = "tickcast".into();
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(key);
        claims
    };
    let hs = json!({"alg": "HS256", "typ": "JWT"});
    let rs = json!({"alg": "RS256", "kid": "a-rsa"});
    let es = json!({"alg": "ES256", "kid": "a-ec"});
    let ed = json!({"alg": "EdDSA", "kid": "a-ed"});
    let token = |head: &Value, claims: &Value| keys.token(head, claims);
    let signed = |head: &Value, signature: &[u8]| {
        format!("{}.{}", message(head, &good), base64url(signature))
    };
    let [rsa_pem, ec_pem, _] = keys.pems();
    let by =
        |secret: &[u8], head: &Value| signed(head, &hmac(secret, message(head, &good).as_bytes()));
    let others = Keys::new();
    let whole = token(&hs, &good);
    let (body, signature) = whole.rsplit_once('.').unwrap();
    let (head, middle) = body.split_once('.').unwrap();
    let grown = base64url(with("sub", "root".into()).to_string());
    let twice = good.to_string().replacen('{', &format!("{{\"exp\":{},", now() + 9000), 1);
    let twice = format!("{head}.{}", base64url(twice));
    let es_signature = keys.sign("ES256", message(&es, &good).as_bytes());
    let text = |text: &str| text.to_owned();
    vec![
        ("nothing", text("x")),
        ("two parts", text(body)),
        ("four parts", format!("{whole}.{signature}")),
        ("empty parts", text("..")),
        ("only dots", text("....")),
        ("no signature", format!("{body}.")),
        ("alg none", signed(&json!({"alg": "none"}), b"")),
        ("alg None with a signature", signed(&json!({"alg": "None"}), b"x")),
        (
            "alg nOnE, signature kept",
            format!("{}.{middle}.{signature}", base64url("{\"alg\":\"nOnE\"}")),
        ),
        ("no alg", signed(&json!({"typ": "JWT"}), b"x")),
        ("alg a number", signed(&json!({"alg": 5}), b"x")),
        ("alg a list", signed(&json!({"alg": ["HS256", "none"]}), b"x")),
        ("HS384 by the secret", by(SECRET, &json!({"alg": "HS384"}))),
        ("HS512 by the secret", by(SECRET, &json!({"alg": "HS512"}))),
        ("HS256 by the RSA key's PEM", by(rsa_pem.as_bytes(), &hs)),
        (
            "HS256 by the RSA key's PEM, its kid",
            by(rsa_pem.as_bytes(), &json!({"alg": "HS256", "kid": "a-rsa"})),
        ),
        (
            "HS256 by the RSA key's DER",
            by(keys.rsa.public().as_ref(), &json!({"alg": "HS256", "kid": "a-rsa"})),
        ),
        (
            "HS256 by the EC key's PEM",
            by(ec_pem.as_bytes(), &json!({"alg": "HS256", "kid": "a-ec"})),
        ),
        (
            "HS256 by the EC key's point",
            by(keys.ec.public_key().as_ref(), &json!({"alg": "HS256", "kid": "a-ec"})),
        ),
        ("HS256 by an empty secret", by(b"", &hs)),
        ("HS256 by another secret", by(b"another secret that is long enough to be one", &hs)),
        ("PS256", signed(&json!({"alg": "PS256", "kid": "a-rsa"}), &keys.sign("RS256", b"x"))),
        (
            "RS256 by another's key",
            others
                .token(&es, &good)
                .replace(&base64url(es.to_string()), &base64url(rs.to_string())),
        ),
        ("ES256 by another's key", others.token(&es, &good)),
        ("EdDSA by another's key", others.token(&ed, &good)),
        ("a kid that is not loaded", token(&json!({"alg": "RS256", "kid": "b-rsa"}), &good)),
        ("a kid of another kind of key", token(&json!({"alg": "RS256", "kid": "a-ec"}), &good)),
        ("a kid that is a path", token(&json!({"alg": "HS256", "kid": "../../dev/null"}), &good)),
        ("a kid that is a query", token(&json!({"alg": "HS256", "kid": "x' or '1'='1"}), &good)),
        ("a kid that is a number", token(&json!({"alg": "RS256", "kid": 1}), &good)),
        ("its own key in the head", {
            let jwk = others.jwks("a")["keys"][1].clone();
            others.token(&json!({"alg": "ES256", "kid": "a-ec", "jwk": jwk}), &good)
        }),
        (
            "a key to be fetched",
            others.token(&json!({"alg": "ES256", "jku": "https://evil.example/jwks"}), &good),
        ),
        ("critical headers", token(&json!({"alg": "HS256", "crit": ["exp"], "exp": 1}), &good)),
        ("critical headers, none", token(&json!({"alg": "HS256", "crit": []}), &good)),
        ("unencoded claims", token(&json!({"alg": "HS256", "b64": false}), &good)),
        ("ES256 of zeros", signed(&es, &[0; 64])),
        ("ES256 in DER", signed(&es, &der(0x30, &es_signature))),
        ("ES256 cut short", signed(&es, &es_signature[..63])),
        ("RS256 of zeros", signed(&rs, &[0; 256])),
        ("claims changed", format!("{head}.{grown}.{signature}")),
        (
            "head changed",
            format!("{}.{middle}.{signature}", base64url("{\"alg\":\"HS256\",\"typ\":\"jwt\"}")),
        ),
        ("signature changed", format!("{body}.{}", signature.chars().rev().collect::<String>())),
        ("signature cut short", format!("{body}.{}", &signature[..signature.len() - 4])),
        ("signature in plain base64", format!("{body}.{signature}=")),
        ("white space inside", format!("{head}. {middle}.{signature}")),
        ("exp missing", token(&hs, &without("exp"))),
        ("exp null", token(&hs, &with("exp", Value::Null))),
        ("exp as text", token(&hs, &with("exp", (now() + 600).to_string().into()))),
        ("exp in a list", token(&hs, &with("exp", json!([now() + 600])))),
        ("exp true", token(&hs, &with("exp", true.into()))),
        ("exp past", token(&hs, &with("exp", (now() - 1).into()))),
        ("exp long past", token(&rs, &with("exp", 0.into()))),
        ("exp negative", token(&hs, &with("exp", (-now()).into()))),
        ("exp twice", format!("{twice}.{}", base64url(hmac(SECRET, twice.as_bytes())))),
        ("nbf in an hour", token(&hs, &with("nbf", (now() + 3600).into()))),
        ("nbf as text", token(&hs, &with("nbf", "0".into()))),
        ("iss missing", token(&hs, &without("iss"))),
        ("iss another", token(&hs, &with("iss", "evil.example".into()))),
        ("iss a list", token(&hs, &with("iss", json!(["desk.example"])))),
        ("aud missing", token(&hs, &without("aud"))),
        ("aud another", token(&hs, &with("aud", "elsewhere".into()))),
        ("aud a list of others", token(&hs, &with("aud", json!(["elsewhere"])))),
        ("aud an object", token(&hs, &with("aud", json!({"tickcast": true})))),
        ("sub missing", token(&hs, &without("sub"))),
        ("sub empty", token(&hs, &with("sub", "".into()))),
        ("sub a number", token(&hs, &with("sub", 7.into()))),
        ("sub with control characters", token(&hs, &with("sub", "a\u{1b}[31m\n".into()))),
        ("sub too long", token(&hs, &with("sub", "x".repeat(129).into()))),
        (
            "entitlements that cannot be read",
            token(&hs, &with("tickcast", json!({"entitlements": ["BTC-USD"]}))),
        ),
        ("rights misspelt", token(&hs, &with("tickcast", json!({"entitlement": ["*"]})))),
        ("claims that are a list", {
            let message = format!("{head}.{}", base64url("[1,2]"));
            let signature = base64url(hmac(SECRET, message.as_bytes()));
            format!("{message}.{signature}")
        }),
        ("claims that are no JSON", {
            let message = format!("{head}.{}", base64url("{\"sub\":"));
            let signature = base64url(hmac(SECRET, message.as_bytes()));
            format!("{message}.{signature}")
        }),
        ("too long", token(&hs, &with("pad", "x".repeat(4096).into()))),
    ]
}
