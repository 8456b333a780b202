# The shell of the lab host: a plain prompt, completion, and nothing that hides what a command prints.
case $- in *i*) ;; *) return ;; esac

PS1='\u@\h:\w\$ '
HISTSIZE=2000
HISTCONTROL=ignoredups
shopt -s checkwinsize histappend
alias ls='ls --color=auto'
alias ll='ls -l'
alias grep='grep --color=auto'
alias ip='ip -color=auto'
export EDITOR=nano PAGER=less LESS=-R
[ -f /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
