docker run --rm --memory 64m ubuntu tail /dev/zero || true
