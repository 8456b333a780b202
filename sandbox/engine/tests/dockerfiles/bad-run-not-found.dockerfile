FROM busybox
RUN ["nosuch"]
