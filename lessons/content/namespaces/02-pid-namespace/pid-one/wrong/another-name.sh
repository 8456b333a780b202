# says: sleep runs in a container that is called pidtest; call it pid-test.
docker run -d --name pidtest ubuntu sleep 3600
