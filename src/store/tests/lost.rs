//! Files taken away or replaced under an open store.

use super::*;

#[tokio::test]
async fn what_went_to_a_file_that_is_gone_is_not_answered() {
    for name in ["lock", "sms-router.sqlite", "sms-router.sqlite-wal", "sms-router.sqlite-shm"] {
        let folder = folder();
        let Open { store, .. } = open(folder.path());
        stored(&store, vec![some_text(1)]).await;
        let (file, aside) = (folder.path().join(name), folder.path().join("aside"));
        fs::rename(&file, &aside).expect("taken away");
        let lost = StoreError::Lost { file: file.clone() };
        assert_eq!(store.append(vec![some_text(2)]).await, Err(lost.clone()), "{name}");
        fs::write(&file, "").expect("another in its place");
        assert_eq!(store.append(vec![some_text(3)]).await, Err(lost.clone()), "{name}");
        assert_eq!(store.try_writing().await, Err(lost.clone()), "{name}");
        assert_eq!(*store.trouble().borrow(), Some(lost.clone()), "{name}");
        assert!(lost.to_string().contains(name) && lost.to_string().contains("put it back"), "{lost}");

        fs::rename(&aside, &file).expect("put back");
        assert_eq!(store.try_writing().await, Ok(()), "{name}");
        assert_eq!(*store.trouble().borrow(), None, "{name}");
        // Refused because it went nowhere that lasts; now that it does, it is known. The next was not written.
        assert_eq!(store.append(vec![some_text(2)]).await, Ok(vec![Appended::Known]), "{name}");
        assert_eq!(store.append(vec![some_text(3)]).await, Ok(vec![Appended::Stored]), "{name}");
    }
}

#[tokio::test]
async fn a_folder_that_was_moved_takes_nothing() {
    let parent = folder();
    let (here, there) = (parent.path().join("data"), parent.path().join("moved"));
    let Open { store, .. } = open(&here);
    fs::rename(&here, &there).expect("moved");
    assert!(matches!(store.append(vec![some_text(1)]).await, Err(StoreError::Lost { .. })));
    fs::rename(&there, &here).expect("moved back");
    assert_eq!(store.append(vec![some_text(1)]).await, Ok(vec![Appended::Known]));
}
