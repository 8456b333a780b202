# A shell that has something to do afterwards stays, and is PID 1 itself.
# says: PID 1 of pid-test executes …/dash; let it be sleep itself.
docker run -d --name pid-test ubuntu sh -c 'sleep 3600; echo done'
