"""What tests of several folders share: repositories, mounted views, comparisons."""
