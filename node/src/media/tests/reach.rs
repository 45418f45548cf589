//! Where a fetch gets to: never to anything but what its limits allow, by whatever way it is led there.

use super::*;

#[test]
fn loopback_is_refused_by_default_in_every_spelling() {
    run(async {
        let server = Server::answering(|_| answer("image/png", PNG)).await;
        let limits = Limits { ports: vec![server.port], ..Limits::default() };
        let real = Fetcher::new(Media::new(limits.clone()));
        let deceived = fetcher_on(
            limits,
            Pretended::knowing(&[
                ("img.test", &["127.0.0.1"]),
                ("six.test", &["::1"]),
                ("mapped.test", &["::ffff:127.0.0.1"]),
            ]),
        )
        .0;
        for host in [
            "127.0.0.1",
            "127.0.0.2",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7F.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "0",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
        ] {
            let url = format!("http://{host}:{}/", server.port);
            let refused = real.fetch(&url).await;
            assert!(matches!(refused, Err(FetchError::NotPublic(_))), "{url}: {refused:?}");
        }
        for host in ["img.test", "six.test", "mapped.test"] {
            let refused = deceived.fetch(&format!("http://{host}:{}/", server.port)).await;
            assert!(matches!(refused, Err(FetchError::NotPublic(_))), "{host}: {refused:?}");
        }
        assert!(server.heads().is_empty());
    });
}

#[test]
fn a_redirect_to_a_closed_network_is_refused() {
    run(async {
        let server = Server::answering(|path| {
            let (port, host) = path[1..].split_once('/').unwrap();
            redirect(302, &format!("http://{host}:{port}/secret"))
        })
        .await;
        let names: &[(&str, &[&str])] = &[
            ("img.test", &["127.0.0.1"]),
            ("inner.test", &["127.0.0.2"]),
            ("metadata.test", &["169.254.169.254"]),
        ];
        let (fetcher, _) = fetcher_on(open_to(&server), Pretended::knowing(names));
        for host in [
            "127.0.0.2",
            "localhost",
            "0x7f000002",
            "[::1]",
            "[::ffff:127.0.0.2]",
            "inner.test",
            "metadata.test",
        ] {
            let url = format!("http://img.test:{0}/{0}/{host}", server.port);
            let refused = fetcher.fetch(&url).await;
            assert!(matches!(refused, Err(FetchError::NotPublic(_))), "{host}: {refused:?}");
        }
        let elsewhere = fetcher.fetch(&format!("http://img.test:{}/22/img.test", server.port)).await;
        assert!(matches!(elsewhere, Err(FetchError::Port(22))), "{elsewhere:?}");
        assert!(server.heads().iter().all(|head| !head.starts_with("GET /secret")));
    });
}

#[test]
fn a_name_with_a_public_and_a_private_address_is_refused() {
    run(async {
        let server = Server::answering(|_| answer("image/png", PNG)).await;
        let names: &[(&str, &[&str])] = &[
            ("private-last.test", &["127.0.0.1", "10.0.0.1"]),
            ("private-first.test", &["10.0.0.1", "127.0.0.1"]),
            ("both-kinds.test", &["127.0.0.1", "fd00:ec2::254"]),
            ("none.test", &[]),
        ];
        let (fetcher, _) = fetcher_on(open_to(&server), Pretended::knowing(names));
        for (name, _) in names {
            let refused = fetcher.fetch(&format!("http://{name}:{}/", server.port)).await;
            assert!(matches!(refused, Err(FetchError::NotPublic(_))), "{name}: {refused:?}");
        }
        assert!(server.heads().is_empty());
    });
}

#[test]
fn a_name_that_does_not_exist_cannot_be_told_from_one_that_is_private() {
    run(async {
        let server = Server::answering(|_| answer("image/png", PNG)).await;
        let (fetcher, _) =
            fetcher_on(open_to(&server), Pretended::knowing(&[("intranet.test", &["10.0.0.1"])]));
        let words = async |name| {
            let refused = fetcher.fetch(&format!("http://{name}:{}/", server.port)).await;
            refused.unwrap_err().to_string().replace(name, "NAME")
        };
        assert_eq!(words("intranet.test").await, words("nowhere.test").await);
    });
}

#[test]
fn a_name_is_resolved_once_for_each_connection() {
    run(async {
        let server = Server::answering(|path| match path {
            "/" => redirect(301, "/image"),
            _ => answer("image/png", PNG),
        })
        .await;
        // The names are known to the test alone: a connection by any other resolver fails.
        let names: &[(&str, &[&str])] = &[("img.test", &["127.0.0.1"])];
        let (fetcher, machine) = fetcher_on(open_to(&server), Pretended::knowing(names));
        fetcher.fetch(&format!("http://img.test:{}/image", server.port)).await.unwrap();
        assert_eq!(*machine.lookups.borrow(), ["img.test"]);
        fetcher.fetch(&format!("http://img.test:{}/", server.port)).await.unwrap();
        assert_eq!(machine.lookups.borrow().len(), 3, "one more, and one for the redirect");
    });
}

#[test]
fn redirects_are_followed_up_to_the_limit_and_cookies_are_not_kept() {
    run(async {
        let server = Server::answering(|path| match path {
            "/3" => redirect(301, "2"),
            "/2" => redirect(307, "./1"),
            "/1" => redirect(308, "/0"),
            "/0" => answer("image/png", PNG),
            _ => redirect(303, "/3"),
        })
        .await;
        let fetcher = fetcher(open_to(&server));
        fetcher.fetch(&format!("http://img.test:{}/3", server.port)).await.unwrap();
        let refused = fetcher.fetch(&format!("http://img.test:{}/4", server.port)).await;
        assert!(matches!(refused, Err(FetchError::Redirects { maximum: 3, .. })), "{refused:?}");
        assert!(server.heads().iter().all(|head| !head.contains("cookie") && !head.contains("referer")));
        assert_eq!(server.heads().len(), 8);
    });
}

#[test]
fn a_certificate_is_checked_against_the_name_and_not_against_the_address() {
    run(async {
        let (server, tls) = Server::tls("img.test", |_| answer("image/png", PNG)).await;
        let names: &[(&str, &[&str])] = &[("img.test", &["127.0.0.1"]), ("other.test", &["127.0.0.1"])];
        let machine = Pretended { tls: Some(tls), ..Pretended::knowing(names) };
        let (fetcher, _) = fetcher_on(open_to(&server), machine);
        fetcher.fetch(&format!("https://img.test:{}/", server.port)).await.unwrap();
        for host in ["other.test", "127.0.0.1"] {
            let refused = fetcher.fetch(&format!("https://{host}:{}/", server.port)).await;
            assert!(matches!(refused, Err(FetchError::Untrusted(_))), "{host}: {refused:?}");
        }
        assert_eq!(server.heads().len(), 1);
    });
}

#[test]
fn a_host_that_takes_no_connection_is_unreachable() {
    run(async {
        let port = Server::answering(|_| Vec::new()).await.port;
        tokio::task::yield_now().await;
        let limits = Limits {
            ports: vec![port],
            allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
            ..Limits::default()
        };
        let refused = fetcher(limits).fetch(&format!("http://img.test:{port}/")).await;
        assert!(matches!(refused, Err(FetchError::Unreachable(_))), "{refused:?}");
    });
}
