use super::*;
use crate::wire::item::ItemHead;

fn items_of(lines: &[&str]) -> Items {
    let mut items = Items::default();
    for (n, json) in lines.iter().enumerate() {
        let head: ItemHead<'_> = serde_json::from_str(json).unwrap();
        items.add(&head, n as u32 + 1, 0);
    }
    items
}

const LINES: [&str; 3] = [
    r#"{"role":"user","content":"go"}"#,
    r#"{"type":"function_call","call_id":"a"}"#,
    r#"{"role":"user","content":"continue"}"#,
];

fn request(input: Node, previous: Option<u32>) -> Incoming {
    Incoming {
        lane: 0,
        previous: previous.map(ResponseKey),
        conversation: None,
        store: true,
        connection: None,
        input,
    }
}

#[test]
fn worlds_differ_in_what_a_cut_response_leaves() {
    let items = items_of(&LINES);
    let get = |index: ItemIndex| items.get(index).copied();
    let mut tree = Tree::default();
    let first = tree.push(Node::ROOT, ItemIndex(0));
    let second = tree.push(Node::ROOT, ItemIndex(2));
    let mut endpoint = Endpoint::new(tree, &items);
    let asked = request(first, None);
    let contexts = endpoint.contexts(&get, &asked);
    let answer = Answered {
        response: Some(ResponseKey(0)),
        complete: false,
        done: &[],
        half: &[ItemIndex(1)],
    };
    endpoint.answered(&get, &asked, &contexts, &answer);
    let next = endpoint.contexts(&get, &request(second, Some(0)));
    assert_eq!(
        next.map(|c| c.previous),
        [Lookup::NotFound, Lookup::Found, Lookup::Found]
    );
    let open: Vec<usize> = next
        .iter()
        .map(|context| {
            Cursor::default()
                .go(&endpoint.tree, &get, context.node)
                .open()
                .len()
        })
        .collect();
    assert_eq!(open, [0, 0, 1]);
    assert_eq!(
        endpoint.contexts(&get, &request(second, Some(9)))[0].previous,
        Lookup::Unknown
    );
}

#[test]
fn a_connection_remembers_only_its_latest_unstored_response() {
    let items = items_of(&LINES);
    let get = |index: ItemIndex| items.get(index).copied();
    let mut tree = Tree::default();
    let input = tree.push(Node::ROOT, ItemIndex(0));
    let mut endpoint = Endpoint::new(tree, &items);
    let on = |connection, previous: Option<u32>| Incoming {
        store: false,
        connection: Some(connection),
        ..request(input, previous)
    };
    for (number, previous) in [(0, None), (1, Some(0))] {
        let asked = on(1, previous);
        let contexts = endpoint.contexts(&get, &asked);
        assert_eq!(contexts[0].previous, Lookup::Found);
        let answer = Answered {
            response: Some(ResponseKey(number)),
            complete: true,
            done: &[],
            half: &[],
        };
        endpoint.answered(&get, &asked, &contexts, &answer);
    }
    assert_eq!(
        endpoint.contexts(&get, &on(1, Some(0)))[0].previous,
        Lookup::NotFound
    );
    assert_eq!(
        endpoint.contexts(&get, &on(2, Some(1)))[0].previous,
        Lookup::NotFound
    );
    assert_eq!(
        endpoint.contexts(&get, &on(1, Some(1)))[0].previous,
        Lookup::Found
    );
    endpoint.refused(&on(1, Some(1)));
    assert_eq!(
        endpoint.contexts(&get, &on(1, Some(1)))[0].previous,
        Lookup::NotFound
    );
}

#[test]
fn a_cursor_moves_between_branches() {
    let items = items_of(&LINES);
    let get = |index: ItemIndex| items.get(index).copied();
    let mut tree = Tree::default();
    let a = tree.push(Node::ROOT, ItemIndex(0));
    let b = tree.push(a, ItemIndex(1));
    let c = tree.push(a, ItemIndex(2));
    let mut cursor = Cursor::default();
    assert_eq!(cursor.go(&tree, &get, b).open().len(), 1);
    assert_eq!(cursor.go(&tree, &get, c).open().len(), 0);
    assert_eq!(cursor.go(&tree, &get, Node::ROOT).len(), 0);
    assert_eq!(cursor.go(&tree, &get, b).len(), 2);
}
