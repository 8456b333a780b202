docker run -d --name one-kernel ubuntu sleep 600
