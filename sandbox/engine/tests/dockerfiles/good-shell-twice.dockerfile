FROM scratch
SHELL ["a b"]
SHELL ["c","d"]
CMD e
