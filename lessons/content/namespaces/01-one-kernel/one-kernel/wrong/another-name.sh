# says: sleep runs in a container that is called onekernel; call it one-kernel.
docker run -d --name onekernel ubuntu sleep 600
