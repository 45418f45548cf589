//! What does not prove itself gets nothing, and is counted.

use super::*;

#[test]
fn a_wrong_secret_gets_nothing() {
    let node = Node::start(place("home", 2));
    let client = client_with(place("home", 1), "another secret, as long", None);
    run(async {
        for call in Call::ALL {
            let outcome = client.call(&node.target(2), call, b"body".to_vec(), HANG).await;
            assert_eq!(outcome, Err(CallError::Refused(Refusal::Unproven)), "{call:?}");
        }
    });
    assert_eq!(node.rejected(Reason::Seal), Call::ALL.len() as u64);
}

#[test]
fn no_request_without_a_proof_gets_more_than_another() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let good = String::from_utf8(sealed(Call::Vote, SECRET, &head(2, run, b""), b"")).unwrap();
    let requests = [
        good.replace("POST", "GET"),
        good.replace("/vote", "/elect"),
        good.replace("/vote", "/nothing"),
        good.replace(&format!("{HEAD}: home"), &format!("{HEAD}: away")),
        good.replace(SEAL, "x-other"),
        good.replace(HEAD, "x-other"),
        good.replace(&format!("{SEAL}: "), &format!("{SEAL}: 00")),
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
    ];
    for request in &requests {
        assert_ne!(*request, good);
        assert!(node.raw(request.as_bytes()).is_nothing(), "{request}");
    }
    assert_eq!(node.rejected(Reason::Seal), requests.len() as u64);
    assert_eq!(node.raw(good.as_bytes()).status, 200);
}

#[test]
fn another_cluster_is_refused() {
    let node = Node::start(place("home", 2));
    let client = client(place("away", 1));
    run(async {
        for call in Call::ALL {
            let outcome = client.call(&node.target(2), call, b"body".to_vec(), HANG).await;
            assert_eq!(outcome, Err(CallError::Refused(Refusal::WrongCluster)), "{call:?}");
        }
    });
    assert_eq!(node.rejected(Reason::Cluster), Call::ALL.len() as u64);
}

#[test]
fn another_node_is_refused() {
    let node = Node::start(place("home", 2));
    let client = client(place("home", 1));
    run(async {
        for call in Call::ALL {
            let outcome = client.call(&node.target(3), call, b"body".to_vec(), HANG).await;
            assert_eq!(outcome, Err(CallError::Refused(Refusal::WrongNode)), "{call:?}");
        }
        let outcome = client.call(&node.anyone(), Call::Append, Vec::new(), HANG).await;
        assert_eq!(outcome, Err(CallError::Refused(Refusal::WrongNode)));
    });
    assert_eq!(node.rejected(Reason::Node), Call::ALL.len() as u64 + 1);
}

#[test]
fn an_altered_body_is_refused() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let body = b"vote for me";
    let mut altered = sealed(Call::Vote, SECRET, &head(2, run, body), body);
    *altered.last_mut().unwrap() ^= 1;
    assert!(node.raw(&altered).is_nothing());
    let shorter = sealed(Call::Vote, SECRET, &head(3, run, body), b"vote for");
    assert!(node.raw(&shorter).is_nothing());
    let longer = sealed(Call::Vote, SECRET, &head(4, run, body), b"vote for me, not");
    assert!(node.raw(&longer).is_nothing());
    assert_eq!(node.rejected(Reason::Seal), 3);
    assert_eq!(node.raw(&sealed(Call::Vote, SECRET, &head(5, run, body), body)).status, 200);
}

#[test]
fn a_longer_body_than_allowed_is_refused_unread() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let body = vec![0; usize::try_from(Call::Vote.max_body()).unwrap() + 1];
    let reply = node.raw(&sealed(Call::Vote, SECRET, &head(2, run, &body), &body));
    assert_eq!(reply.status, 403);
    assert!(reply.is_sealed);
    let refusal: Refusal = crate::cluster::codec::decode(&reply.body).unwrap();
    assert_eq!(refusal, Refusal::TooLarge { bytes: body.len() as u64, limit: Call::Vote.max_body() });
    assert_eq!(node.rejected(Reason::TooLarge), 1);
}

#[test]
fn an_unproven_body_is_not_read_to_its_end() {
    let node = Node::start(place("home", 2));
    let mut socket = TcpStream::connect(node.address()).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    let announced = "POST /peer/1/snapshot HTTP/1.1\r\nhost: x\r\ncontent-length: 60000000\r\n\r\n";
    socket.write_all(announced.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // The rest of the body never comes.
    socket.read_to_end(&mut bytes).unwrap();
    assert!(Reply::parse(&bytes).is_nothing());
}

/// A server that gives every request the same answer, which it cannot seal.
fn impostor(answer: &'static str) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut bytes = Vec::new();
            let mut piece = [0; 4096];
            while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                match socket.read(&mut piece) {
                    Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            drop(socket.write_all(answer.as_bytes()));
        }
    });
    Target { address, node: Some(2) }
}

#[test]
fn an_answer_without_a_seal_is_not_believed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 409 Conflict\r\ncontent-length: 32\r\n\r\n00000000000000000000000000000007",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nno!!",
        "HTTP/1.1 403 Forbidden\r\nx-ollamaflow-seal: 00\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
    ] {
        let rejections = Rejections::default();
        let place = shared(place("home", 1));
        let client = PeerClient::start(place, secret(SECRET), None, rejections.clone()).unwrap();
        let outcome = run(client.call(&impostor(answer), Call::Vote, Vec::new(), HANG));
        assert!(matches!(outcome, Err(CallError::Malformed(_))), "{answer}: {outcome:?}");
        assert_eq!(rejections.count(Reason::Seal), 1);
    }
}

#[test]
fn an_answer_that_is_too_long_or_no_http_is_not_read() {
    let client = client(place("home", 1));
    let long = impostor("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n");
    assert!(matches!(run(client.call(&long, Call::Vote, Vec::new(), HANG)), Err(CallError::Unreachable(_))));
    let other = impostor("220 mail.example.com ESMTP\r\n\r\n");
    assert!(matches!(run(client.call(&other, Call::Vote, Vec::new(), HANG)), Err(CallError::Malformed(_))));
}
