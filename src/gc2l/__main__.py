"""`python -m gc2l export` and `python -m gc2l released`; see `gc2l.campaign.commands`."""

from gc2l.campaign.script import run_script

from gc2l.campaign.commands import main as command


def main() -> None:
    """Run the command."""
    run_script(command)


if __name__ == "__main__":
    main()
