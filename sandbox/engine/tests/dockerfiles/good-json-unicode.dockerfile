FROM scratch
CMD ["\u0041\n", "é", "\"q\"", "<&>"]
LABEL k="<&>é"
