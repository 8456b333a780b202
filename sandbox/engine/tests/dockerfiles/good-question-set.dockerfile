FROM scratch
ENV b="" c=d
ENV a=${b?} e=${c:?x} f=${c?y}
