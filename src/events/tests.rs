use super::*;

#[test]
fn uuids_are_compared_in_one_form() {
    let plain = "01a1fe8c-a874-7b93-abd9-b56eb0d9554e";
    for other in [
        plain,
        "01A1FE8C-A874-7B93-ABD9-B56EB0D9554E",
        "01a1fe8ca8747b93abd9b56eb0d9554e",
        "{01a1fe8c-a874-7b93-abd9-b56eb0d9554e}",
        "urn:uuid:01A1FE8C-A874-7B93-ABD9-B56EB0D9554E",
    ] {
        assert_eq!(canonical(other), plain);
    }
    for odd in ["call_A", "", "{}", "0123456789abcdef0123456789abcdeX"] {
        assert_eq!(canonical(odd), odd);
    }
}
