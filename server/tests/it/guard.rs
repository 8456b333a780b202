//! Who is refused, and what every answer carries.

use crate::site::{SLUG, Site};
use hyper::StatusCode;

#[tokio::test]
async fn other_names_and_other_sites_are_refused() {
    let site = Site::open().await;
    let port = site.browser().port();
    let lab = format!("/api/lessons/{SLUG}/lab");
    let own = format!("http://127.0.0.1:{port}");
    for (header, value, path, status) in [
        // A name that an attacker has pointed at 127.0.0.1.
        ("host", Some(format!("evil.example:{port}")), "/", 421),
        ("host", Some("127.0.0.1".to_owned()), "/", 421),
        ("host", Some("127.0.0.1:1".to_owned()), "/", 421),
        ("host", None, "/", 421),
        // Pages of other sites, and of other servers on this machine.
        ("origin", Some("http://evil.example".to_owned()), &lab, 403),
        ("origin", Some(format!("http://127.0.0.1:{}", port ^ 1)), &lab, 403),
        ("origin", Some(format!("https://127.0.0.1:{port}")), &lab, 403),
        ("origin", Some(format!("http://localhost:{port}")), &lab, 403),
        ("origin", Some(format!("{own}.evil.example")), &lab, 403),
        ("origin", Some("null".to_owned()), &lab, 403),
        ("origin", None, &lab, 403),
        ("sec-fetch-site", Some("cross-site".to_owned()), &lab, 403),
        ("sec-fetch-site", Some("same-site".to_owned()), &lab, 403),
    ] {
        let browser = site.browser().with(header, value.as_deref());
        let answer = if path == "/" { browser.get(path).await } else { browser.post(path, "").await };
        assert_eq!(answer.status.as_u16(), status, "{header}: {value:?}");
    }
    assert_eq!(site.agent.calls(), Vec::<String>::new(), "none of these opened a lab");

    let good = site.browser().with("sec-fetch-site", Some("same-origin")).post(&lab, "").await;
    assert_eq!(good.status, StatusCode::OK);
    for name in ["localhost", "[::1]", "LOCALHOST"] {
        let (host, origin) = (format!("{name}:{port}"), format!("http://{name}:{port}"));
        let browser = site.browser().with("host", Some(&host)).with("origin", Some(&origin));
        assert_eq!(browser.post(&lab, "").await.status, StatusCode::OK, "{name}");
    }
    // Being linked to is fine, reading the API from elsewhere is not.
    let linked = site.browser().with("sec-fetch-site", Some("cross-site"));
    assert_eq!(linked.get("/").await.status, StatusCode::OK);
    assert_eq!(linked.get(&format!("/api/lessons/{SLUG}/events")).await.status, StatusCode::FORBIDDEN);
    site.end().await;
}

#[tokio::test]
async fn a_terminal_is_for_our_own_pages() {
    let site = Site::open().await;
    let path = format!("/api/lessons/{SLUG}/terminals/host");
    for (header, value, status) in [
        ("origin", Some("http://evil.example"), StatusCode::FORBIDDEN),
        ("origin", Some("null"), StatusCode::FORBIDDEN),
        ("origin", None, StatusCode::FORBIDDEN),
        ("host", Some("evil.example"), StatusCode::MISDIRECTED_REQUEST),
        ("sec-websocket-protocol", Some("lab.term.v0"), StatusCode::BAD_REQUEST),
        ("sec-websocket-protocol", None, StatusCode::BAD_REQUEST),
    ] {
        let refused = site.browser().with(header, value).terminal(&path).await;
        assert_eq!(refused.err(), Some(status), "{header}: {value:?}");
    }
    let named = site.browser().terminal(&format!("/api/lessons/{SLUG}/terminals/Host%20x")).await;
    assert_eq!(named.err(), Some(StatusCode::BAD_REQUEST));
    assert!(site.agent.calls().iter().all(|call| !call.starts_with("terminal")));
    site.end().await;
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_no_internals() {
    let site = Site::open().await;
    let page = site.browser().get(&format!("/lessons/{SLUG}")).await.text;
    let asset = page.split('"').find(|part| part.ends_with("app.css")).unwrap().to_owned();
    let evil = site.browser().with("origin", Some("http://evil.example"));
    let form = site.browser().with("accept", Some("text/html"));
    for (answer, status) in [
        (site.browser().get("/").await, 200),
        (site.browser().get(&format!("/lessons/{SLUG}")).await, 200),
        (site.browser().get(&asset).await, 200),
        (site.browser().get("/assets/0/../../etc/passwd").await, 404),
        (site.browser().get("/nothing").await, 404),
        (form.get("/lessons/boxes/none").await, 404),
        (site.browser().request("DELETE", "/").await, 405),
        (site.browser().get(&format!("/api/lessons/{SLUG}/terminals/host")).await, 400),
        (site.browser().post(&format!("/api/lessons/{SLUG}/reset"), &"x".repeat(20_000)).await, 413),
        (site.browser().post(&format!("/api/lessons/{SLUG}/reset"), "{}").await, 400),
        (evil.post(&format!("/api/lessons/{SLUG}/reset"), "{}").await, 403),
    ] {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("referrer-policy"), "same-origin");
        if status >= 400 {
            assert_eq!(header("cache-control"), "no-store");
            if !header("content-type").starts_with("text/html") {
                assert!(answer.json()["message"].as_str().unwrap().ends_with('.'), "{}", answer.text);
            }
        }
    }
    assert!(form.get("/nothing").await.text.contains("<html"), "a navigation is answered with a page");
    site.end().await;
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_pages_never() {
    let site = Site::open().await;
    let page = site.browser().get("/").await;
    assert_eq!(page.headers["cache-control"], "no-store");
    let asset = page.text.split('"').find(|part| part.ends_with("app.css")).unwrap();
    let fresh = site.browser().get(asset).await;
    assert_eq!(fresh.headers["content-type"], "text/css; charset=utf-8");
    assert!(fresh.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let old = site.browser().get("/assets/0123/app.css").await;
    assert_eq!((old.status, &old.headers["cache-control"]), (StatusCode::OK, &"no-cache".parse().unwrap()));
    site.end().await;
}

#[tokio::test]
async fn pages_escape_and_need_no_inline_script() {
    let site = Site::open().await;
    for path in ["/".to_owned(), format!("/lessons/{SLUG}")] {
        let page = site.browser().get(&path).await.text;
        assert!(!page.contains("<b>box</b>"), "a lesson's title is text");
        for script in page.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "{script}");
        }
        for inline in [" style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(inline), "{inline} in {path}");
        }
    }
    site.end().await;
}
