//! A client: one request after the other over a connection that it keeps as long as it may, until enough have been made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::judge::{Answer, Class, judge};
use super::ledger::Ledger;
use super::order::{Leave, Order};
use super::world::World;
use crate::client::{End, NoResponse, RawConnection, Response};

/// Nothing takes longer than the queue's, the head's and the stream's patience together; what does hangs.
const PATIENCE: Duration = Duration::from_secs(28);

/// How often a connect is tried while the machine is too busy to accept it.
const CONNECT_TRIES: u32 = 5;

/// Makes requests until the goal or the deadline is reached.
pub(super) async fn run(
    world: Arc<World>,
    ledger: Arc<Ledger>,
    mut dice: fastrand::Rng,
    goal: u64,
    deadline: Instant,
) {
    let mut kept = None;
    while Instant::now() < deadline {
        let Some(number) = ledger.begin(goal) else { return };
        let order = Order::draw(number, &mut dice);
        let asked = tokio::time::timeout(PATIENCE, ask(&world, &order, kept.take())).await;
        let judged = asked.unwrap_or_else(|_| Err(format!("no end within {PATIENCE:?}")));
        let class = judged.map(|(class, connection)| {
            kept = connection;
            class
        });
        ledger.count(class.map_err(|why| format!("{why} (request {number}: {order})")));
    }
}

/// One request. Gives how it ended, and the connection if it can be used again.
async fn ask(
    world: &World,
    order: &Order,
    kept: Option<RawConnection>,
) -> Result<(Class, Option<RawConnection>), String> {
    let connection = match kept {
        Some(connection) => connection,
        None => connect(world).await?,
    };
    let request = order.request();
    let exchange = connection.exchange(&request);
    let response = match order.leave {
        Some(Leave::BeforeHead(patience)) => match tokio::time::timeout(patience, exchange).await {
            Ok(response) => response,
            Err(_) => return Ok((Class::Gone, None)),
        },
        _ => exchange.await,
    };
    let response = response.map_err(|e: NoResponse| format!("no answer: {e}"))?;
    read(order, response).await
}

/// Reads an answer, to its end or until the client leaves.
async fn read(order: &Order, mut response: Response) -> Result<(Class, Option<RawConnection>), String> {
    let status = response.status();
    let (leave_after, by_reset) = match order.leave {
        Some(Leave::AfterPieces { count, by_reset }) => (count, by_reset),
        _ => (u64::MAX, false),
    };
    let mut body = Vec::new();
    for pieces in 0.. {
        if pieces >= leave_after {
            if by_reset {
                response.abort();
            }
            return Ok((Class::Gone, None));
        }
        let Some(piece) = response.next_piece().await else { break };
        body.extend_from_slice(&piece.bytes);
    }
    let end = response.end().unwrap_or(End::Truncated);
    let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let class = judge(order, &Answer { status, body: &body, end })
        .map_err(|why| format!("{why}; head {:?}", response.head.headers))?;
    let reusable = end == End::Complete && !closes;
    Ok((class, reusable.then(|| response.into_connection())))
}

async fn connect(world: &World) -> Result<RawConnection, String> {
    let mut failure = String::new();
    for attempt in 0..CONNECT_TRIES {
        match RawConnection::open(world.node.addr()).await {
            Ok(connection) => return Ok(connection),
            Err(e) => failure = e.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
    }
    Err(format!("no connection to the node: {failure}"))
}
