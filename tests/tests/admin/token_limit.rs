//! Guessing tokens is slow; having one is not.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;

use crate::{admin, answer, error};

/// Wrong tokens that are answered at once.
const BURST: usize = 10;

/// Far more than a burst, whatever comes back meanwhile: one a second.
const MANY: usize = 1000;

async fn guess(node: &Node, number: usize) -> Collected {
    answer(node, Request::get("/v1.0/frontends").bearer(&format!("guess-{number}"))).await
}

#[tokio::test]
async fn after_a_burst_of_wrong_tokens_an_address_has_to_wait_but_the_right_token_never() {
    let node = Node::builder().start().await;
    for number in 0..BURST {
        error(&guess(&node, number).await, 401, "AuthenticationFailed");
    }
    let mut refused = None;
    for number in BURST..MANY {
        let answer = guess(&node, number).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 401);
    }
    let refused = refused.unwrap();
    let message = error(&refused, 429, "SlowDown");
    assert!(message.contains("too many wrong tokens"), "{message}");
    let seconds: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("Access-Control-Allow-Origin"), Some("*"));
    for _ in 0..2 * BURST {
        assert_eq!(answer(&node, admin("GET", "/v1.0/frontends")).await.status(), 200);
    }
    // Without a token there is nothing to guess, and with patience one may guess again.
    assert_eq!(answer(&node, Request::get("/v1.0/frontends")).await.status(), 401);
    ollamaflow_tests::wait::until_answered("another guess is answered", async || {
        match guess(&node, MANY).await.status() {
            401 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn two_wrong_tokens_at_once_are_never_limited() {
    let node = Node::builder().start().await;
    let (one, other) = tokio::join!(guess(&node, 1), guess(&node, 2));
    assert_eq!((one.status(), other.status()), (401, 401));
}
