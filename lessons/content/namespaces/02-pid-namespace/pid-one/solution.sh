docker run -d --name pid-test ubuntu sleep 3600
