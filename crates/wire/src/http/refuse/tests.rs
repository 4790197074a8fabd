//! Tests of refusals: statuses as the table of the design has them, one refusal in its forms, and nothing that asks for a retry.

use http::header::HeaderMap;

use super::*;

fn decision() -> DecisionId {
    DecisionId::new(Timestamp::from_millis(1_795_233_600_000), 7)
}

fn refusal(kind: Kind) -> Refusal {
    let waiting = matches!(kind, Kind::ApprovalRequired | Kind::Accepted).then(|| Waiting {
        approval: ApprovalId::new(Timestamp::from_millis(1_795_233_600_000), 9),
        expires: Some(Timestamp::from_millis(1_795_235_400_000)),
    });
    Refusal {
        kind,
        refused: Refused {
            line: format!("blocked by policy \"no-large-refunds\": POST on payments/v1/refunds [{}]", decision()),
            reason: Some("refunds above 100 <EUR> need a person".to_owned()),
            next: Some("ask \"support\"".to_owned()),
            policy: Some("no-large-refunds".to_owned()),
            at: None,
        },
        decision: Some(decision()),
        waiting,
        code: None,
        retry_after: None,
        kept_at: None,
        close: false,
        url: "https://parapet.example".to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// A reply of this content type, and what its body says.
fn said_in_json(refusal: &Refusal, form: Form, content_type: &str) -> (Reply, serde_json::Value) {
    let reply = refusal.reply(form);
    assert_eq!(text(&reply.headers, "content-type").as_deref(), Some(content_type));
    let said = serde_json::from_slice(&reply.body).unwrap();
    (reply, said)
}

#[test]
fn each_situation_has_its_status() {
    let grpc = |kind: Kind| text(&refusal(kind).reply(Form::Grpc).headers, "grpc-status").unwrap();
    let cases = [
        (Kind::Denied, 403, "7"),
        (Kind::Quarantined, 403, "7"),
        (Kind::ApprovalRequired, 403, "9"),
        (Kind::Accepted, 202, "9"),
        (Kind::NoSuchRequest, 404, "9"),
        (Kind::NotCarriedOut, 410, "9"),
        (Kind::OutcomeUnknown, 410, "9"),
        (Kind::AnswerLost, 410, "9"),
        (Kind::GrantMismatch, 412, "9"),
        (Kind::OverBudget, 429, "8"),
        (Kind::CannotDecide, 503, "13"),
        (Kind::Malformed(400), 400, "3"),
        (Kind::Malformed(405), 405, "12"),
        (Kind::Unauthenticated, 401, "16"),
        (Kind::UpstreamFailed, 502, "13"),
        (Kind::UpstreamSlow, 504, "4"),
    ];
    for (kind, status, code) in cases {
        for form in [Form::Problem, Form::Html, Form::Kubernetes, Form::Vault, Form::Aws] {
            assert_eq!(refusal(kind).reply(form).status, status, "{kind:?}");
        }
        let reply = refusal(kind).reply(Form::Grpc);
        assert_eq!((reply.status, grpc(kind).as_str()), (200, code), "{kind:?}");
        assert!(code != "14" && code != "0", "clients retry UNAVAILABLE");
        let of_stores = [Form::Kubernetes, Form::Vault, Form::Aws];
        for form in [Form::Problem, Form::Html, Form::Grpc, Form::GrpcWeb].into_iter().chain(of_stores) {
            let headers = refusal(kind).reply(form).headers;
            assert_eq!(text(&headers, "cache-control").as_deref(), Some("no-store"));
            assert_eq!(text(&headers, "parapet-decision"), Some(decision().to_string()));
            assert!(!headers.contains_key("retry-after"), "{kind:?}: not unless it is asked for");
        }
    }
}

#[test]
fn only_what_may_be_retried_says_so() {
    for kind in [Kind::Denied, Kind::CannotDecide, Kind::ApprovalRequired, Kind::Malformed(400), Kind::UpstreamFailed] {
        let reply = refusal(kind).retry_after(3).reply(Form::Problem);
        assert!(!reply.headers.contains_key("retry-after"), "{kind:?}");
        assert!(String::from_utf8(reply.body).unwrap().contains("\"retryable\":false"));
    }
    let reply = refusal(Kind::OverBudget).retry_after(0).reply(Form::Problem);
    assert_eq!(text(&reply.headers, "retry-after").as_deref(), Some("1"));
    assert!(String::from_utf8(reply.body).unwrap().contains("\"retryable\":true"));
}

#[test]
fn a_problem_holds_all_fields() {
    let reply = refusal(Kind::Denied).reply(Form::Problem);
    assert_eq!(text(&reply.headers, "content-type").as_deref(), Some("application/problem+json"));
    insta::assert_snapshot!("denied", String::from_utf8(reply.body).unwrap());
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Problem);
    insta::assert_snapshot!("approval_required", String::from_utf8(reply.body).unwrap());
}

#[test]
fn a_cluster_says_a_status_object() {
    let said = |refusal: Refusal| {
        let (reply, said) = said_in_json(&refusal, Form::Kubernetes, "application/json");
        // Whatever the status, clients must not take it for done.
        assert_eq!(
            (&said["kind"], &said["apiVersion"], &said["status"]),
            (&"Status".into(), &"v1".into(), &"Failure".into())
        );
        assert_eq!(said["code"], reply.status);
        said
    };
    for (kind, reason, cause) in [
        (Kind::Denied, "Forbidden", "PolicyDenied"),
        (Kind::Quarantined, "Forbidden", "Quarantined"),
        (Kind::ApprovalRequired, "Forbidden", "ApprovalRequired"),
        (Kind::Accepted, "", "ApprovalRequired"),
        (Kind::NoSuchRequest, "NotFound", "NoSuchRequest"),
        (Kind::GrantMismatch, "", "GrantMismatch"),
        (Kind::OverBudget, "TooManyRequests", "OverBudget"),
        (Kind::CannotDecide, "ServiceUnavailable", "CannotDecide"),
        (Kind::Malformed(400), "BadRequest", "Malformed"),
        (Kind::Malformed(405), "MethodNotAllowed", "Malformed"),
        (Kind::Malformed(505), "InternalError", "Malformed"),
        (Kind::UpstreamFailed, "InternalError", "UpstreamFailed"),
        (Kind::UpstreamSlow, "Timeout", "UpstreamSlow"),
    ] {
        let said = said(refusal(kind));
        assert_eq!(
            (&said["reason"], &said["details"]["causes"][0]["reason"]),
            (&reason.into(), &cause.into()),
            "{kind:?}"
        );
    }
    let shown = said(refusal(Kind::OverBudget).retry_after(3));
    assert_eq!(shown["details"]["retryAfterSeconds"], 3);
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Kubernetes);
    insta::assert_snapshot!("kubernetes", String::from_utf8(reply.body).unwrap());
}

#[test]
fn a_vault_says_errors() {
    for (kind, problem) in [
        (Kind::Denied, "denied"),
        (Kind::Quarantined, "quarantined"),
        (Kind::ApprovalRequired, "approval-required"),
        (Kind::OverBudget, "over-budget"),
        (Kind::CannotDecide, "cannot-decide"),
        (Kind::Malformed(400), "malformed"),
        (Kind::UpstreamFailed, "upstream-failed"),
        // 202 and 404, where errors alone were none.
        (Kind::Accepted, "approval-required"),
        (Kind::NoSuchRequest, "no-such-request"),
    ] {
        let (_, said) = said_in_json(&refusal(kind), Form::Vault, "application/json");
        assert_eq!((said["errors"].as_array().map(Vec::len), &said["problem"]), (Some(1), &problem.into()), "{kind:?}");
        assert!(said["errors"][0].as_str().unwrap().contains(&decision().to_string()), "{kind:?}");
    }
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Vault);
    insta::assert_snapshot!("vault", String::from_utf8(reply.body).unwrap());
}

#[test]
fn a_service_of_aws_says_a_type_and_a_message() {
    let said = |refusal: Refusal| {
        let (reply, said) = said_in_json(&refusal, Form::Aws, "application/x-amz-json-1.1");
        let kind = said["__type"].as_str().unwrap().to_owned();
        // SDKs read the one or the other.
        assert_eq!(text(&reply.headers, "x-amzn-errortype").as_ref(), Some(&kind));
        assert!(said["message"].as_str().unwrap().contains(&decision().to_string()), "{said}");
        kind
    };
    for (kind, expect) in [
        (Kind::Denied, "AccessDeniedException"),
        (Kind::Quarantined, "AccessDeniedException"),
        (Kind::ApprovalRequired, "AccessDeniedException"),
        (Kind::Accepted, "AccessDeniedException"),
        (Kind::GrantMismatch, "AccessDeniedException"),
        (Kind::NoSuchRequest, "ResourceNotFoundException"),
        (Kind::NotCarriedOut, "InvalidRequestException"),
        (Kind::OutcomeUnknown, "InvalidRequestException"),
        (Kind::AnswerLost, "InvalidRequestException"),
        (Kind::OverBudget, "ServiceQuotaExceededException"),
        (Kind::Malformed(400), "ValidationException"),
        (Kind::Malformed(405), "ValidationException"),
        (Kind::CannotDecide, "InternalServiceError"),
        (Kind::UpstreamFailed, "InternalServiceError"),
        (Kind::UpstreamSlow, "InternalServiceError"),
    ] {
        assert_eq!(said(refusal(kind)), expect, "{kind:?}");
        // SDKs retry what is throttled: right where a budget has room again, and nowhere else.
        let retried = said(refusal(kind).retry_after(3)) == "ThrottlingException";
        assert_eq!(retried, kind == Kind::OverBudget, "{kind:?}");
    }
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Aws);
    insta::assert_snapshot!("aws", String::from_utf8(reply.body).unwrap());
}

#[test]
fn a_store_is_answered_as_its_clients_read() {
    for (store, form) in [
        (None, Form::Problem),
        (Some(Profile::Kubernetes), Form::Kubernetes),
        (Some(Profile::Vault), Form::Vault),
        (Some(Profile::AwsSecretsManager), Form::Aws),
    ] {
        let accepts = Accepts { store, ..Accepts::default() };
        assert_eq!(Form::of(accepts), form, "{store:?}");
        // People in a browser, and gRPC, read their own.
        assert_eq!(Form::of(Accepts { html: true, ..accepts }), Form::Html, "{store:?}");
        assert_eq!(Form::of(Accepts { grpc: true, ..accepts }), Form::Grpc, "{store:?}");
    }
}

#[test]
fn a_page_is_small_and_escapes() {
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Html);
    assert_eq!(text(&reply.headers, "content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert!(text(&reply.headers, "content-security-policy").unwrap().starts_with("default-src 'none'"));
    insta::assert_snapshot!("page", String::from_utf8(reply.body).unwrap());
    let mut odd = refusal(Kind::Denied);
    odd.url = "javascript:alert(1)".to_owned();
    assert!(!String::from_utf8(odd.reply(Form::Html).body).unwrap().contains("href"));
}

#[test]
fn grpc_gets_its_details() {
    let reply = refusal(Kind::ApprovalRequired).reply(Form::Grpc);
    assert!(reply.body.is_empty());
    assert_eq!(text(&reply.headers, "content-type").as_deref(), Some("application/grpc"));
    let details = text(&reply.headers, "grpc-status-details-bin").unwrap();
    let write::Read { code, reason, metadata, links } = write::read_grpc_details(&details).unwrap();
    assert_eq!((code, reason.as_str()), (9, "APPROVAL_REQUIRED"));
    assert_eq!(metadata["policy"], "no-large-refunds");
    assert_eq!(metadata["decision"], decision().to_string());
    assert!(metadata["approval"].starts_with("apr_"));
    assert_eq!(links.len(), 2);
    assert!(links.iter().all(|link| link.starts_with("https://parapet.example/")));
    let web = refusal(Kind::Denied).reply(Form::GrpcWeb);
    assert_eq!(text(&web.headers, "content-type").as_deref(), Some("application/grpc-web+proto"));
    assert_eq!(write::grpc_message("50% caf\u{e9}\n"), "50%25 caf%C3%A9%0A");
}

#[test]
fn who_has_proved_nothing_learns_nothing() {
    let reply = Refusal::unauthenticated().reply(Form::Problem);
    assert_eq!((reply.status, text(&reply.headers, "www-authenticate").as_deref()), (401, Some("Bearer")));
    assert!(!reply.headers.contains_key("parapet-decision"));
    insta::assert_snapshot!("unauthenticated", String::from_utf8(reply.body).unwrap());
}

#[test]
fn a_violation_is_answered_and_where_framing_is_in_doubt_the_connection_ends() {
    let url = "http://127.0.0.1:18000";
    for (violation, status, close) in [
        (Violation::LengthAndEncoding, 400, true),
        (Violation::HeadTooLong, 431, true),
        (Violation::TargetTooLong, 414, true),
        (Violation::Version, 505, true),
        (Violation::TwoHosts, 400, true),
        (Violation::EarlyBytes, 400, true),
        (Violation::PathDots, 400, false),
        (Violation::Method, 405, false),
        (Violation::Expectation, 417, false),
        (Violation::RepeatedMember, 400, false),
    ] {
        let reply = Refusal::violated(violation, None, url).reply(Form::Problem);
        assert_eq!((reply.status, reply.close), (status, close), "{violation:?}");
        assert_eq!(reply.headers.contains_key("allow"), status == 405);
        let bytes = String::from_utf8(reply.to_http1()).unwrap();
        let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("\r\nconnection: close"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert!(body.contains(violation.undecidable().code()) && body.contains(&violation.to_string()), "{body}");
        assert!(violation.hazard().starts_with("HT"));
        assert!(!reply.clone().into_response(true).headers().contains_key("connection"));
        assert_eq!(reply.into_response(false).headers().contains_key("connection"), close);
    }
    let reply = Refusal::violated(Violation::PathDots, Some(decision()), url).reply(Form::Grpc);
    assert_eq!(text(&reply.headers, "parapet-decision"), Some(decision().to_string()));
}

#[test]
fn what_is_the_clients_fault_is_no_503() {
    for why in Undecidable::ALL {
        let status = Kind::of_undecidable(why).status();
        let expect = match why {
            Undecidable::AmbiguousFraming
            | Undecidable::AmbiguousPath
            | Undecidable::AmbiguousAuthority
            | Undecidable::AmbiguousBody
            | Undecidable::Upgrade
            | Undecidable::NotUtf8 => 400,
            Undecidable::UnknownEndpoint | Undecidable::ForbiddenAddress | Undecidable::MaskedValue => 403,
            Undecidable::Method => 405,
            Undecidable::TooLarge => 413,
            _ => 503,
        };
        assert_eq!(status, expect, "{why:?}");
        let reply = Refusal::undecided(why, Some(decision()), "https://parapet.example").reply(Form::Problem);
        assert!(!reply.headers.contains_key("retry-after"));
        assert!(String::from_utf8(reply.body).unwrap().contains(why.code()));
    }
}

#[test]
fn an_answer_says_what_was_masked() {
    let mut headers = HeaderMap::new();
    announce(&mut headers, decision(), ["email", "card", "email", "caf\u{e9}", "a b"], Some("bytes=1000"));
    assert_eq!(text(&headers, "parapet-masked").as_deref(), Some("card,email"));
    assert_eq!(text(&headers, "parapet-limited").as_deref(), Some("bytes=1000"));
    assert_eq!(text(&headers, "parapet-decision"), Some(decision().to_string()));
    let mut headers = HeaderMap::new();
    announce(&mut headers, decision(), [], None);
    assert_eq!(headers.len(), 1);
}

#[test]
fn waiting_for_people_is_202_only_when_it_is_asked_for() {
    let kept_at = "/.parapet/requests/payments/apr_x".to_owned();
    let accepted = refusal(Kind::ApprovalRequired).as_accepted(kept_at.clone());
    let reply = accepted.reply(Form::Problem);
    assert_eq!(reply.status, 202);
    assert_eq!(text(&reply.headers, "location"), Some(kept_at.clone()));
    assert_eq!(text(&reply.headers, "preference-applied").as_deref(), Some("respond-async"));
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(refusal(Kind::Denied).as_accepted(kept_at).kind(), Kind::Denied);
    assert_eq!(refusal(Kind::ApprovalRequired).as_grant_mismatch().reply(Form::Problem).status, 412);
}
