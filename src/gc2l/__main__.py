"""`python -m gc2l export` and `python -m gc2l released`; see `gc2l.campaign.commands`."""

import sys


def main() -> None:
    """Run the command, or name the extra that is not installed."""
    try:
        from gc2l.campaign.commands import main as command  # noqa: PLC0415
        from gc2l.campaign.script import run_script  # noqa: PLC0415

        run_script(command)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "gc2l":
            raise
        sys.exit(f"error: {error.name} is not installed; install it with: pip install 'gc2l[suite]'")


if __name__ == "__main__":
    main()
